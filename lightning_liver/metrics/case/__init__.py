"""Metrics of a case, one a file: its name is the column in cases.csv, its METRIC says how it is computed and shown."""
