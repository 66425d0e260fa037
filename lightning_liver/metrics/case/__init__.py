"""Metrics of a case, one per file: its name is the column in cases.csv, its METRIC a CaseMetric."""
