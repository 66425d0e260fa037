"""Active learning: which scans or slices are labelled next, at which effort, and what that brings."""
