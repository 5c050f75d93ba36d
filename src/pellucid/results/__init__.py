"""Results: frozen, torch-free records of what was measured, each with a schema name such as ``data_report/1``."""
