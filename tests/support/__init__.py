"""What several tests need: made-up rows and files, studies of seconds, processes that may be killed."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
