#!/bin/bash
# Sixteen workers of one study on a Grid Engine cluster, each a task of one array. In the shared folder of its checkpoints:
#     export STORAGE=postgresql+psycopg://ann@db.example.org/studies      # the password: ~/.pgpass
#     qsub sge.sh --trials 200 --corpus librimix:/data/Libri2Mix
# The same again goes on, with as many workers as you like: --trials is the study's total.
#$ -N tasnet-study
#$ -S /bin/bash
#$ -cwd
#$ -V
#$ -t 1-16
#$ -l h_rt=12:00:00
#$ -l h_vmem=4G
#$ -r y
#$ -j y
set -eu

exec python -m study run --storage "$STORAGE" --workers 1 --timeout 710m "$@"
