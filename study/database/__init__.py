"""The study database: tables and views, rows in and out, leases, versions, backups, export.

`store.open_database` is its door. SQL is here and in `maintenance.repairs` alone. It never trains,
and asks Optuna nothing.
"""
