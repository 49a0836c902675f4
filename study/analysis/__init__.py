"""What follows from the rows of a study: intervals, effects, recommendations, forecasts.

Pure functions from rows and scores to numbers and sentences; `analyse.analyse` calls them in
order. No database, no torch, no figure: `report` and `cli` show what is found here.
"""
