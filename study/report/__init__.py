"""The report: rows → tables, figures, the page, in words. `write.write_report` writes it.

Reads the database once, loads no torch and asks Optuna nothing.
"""
