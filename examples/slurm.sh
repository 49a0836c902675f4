#!/bin/bash
# Sixteen workers of one study on a SLURM cluster, each a task of one array. In the shared folder of its checkpoints:
#     export STORAGE=postgresql+psycopg://ann@db.example.org/studies      # the password: ~/.pgpass
#     sbatch slurm.sh --trials 200 --corpus librimix:/data/Libri2Mix
# The same again goes on, with as many workers as you like: --trials is the study's total.
#SBATCH --job-name=tasnet-study
#SBATCH --array=1-16
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=%x-%A-%a.log
set -eu

# With a GPU: #SBATCH --gres=gpu:1, and --device cuda.
exec python -m study run --storage "$STORAGE" --workers 1 --timeout 710m "$@"
