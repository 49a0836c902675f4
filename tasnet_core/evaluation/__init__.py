"""How well mixtures were separated: `metrics.score_test` and what stands behind it.

SI-SNR is computed here; SDR, STOI and PESQ in the processes of `metric_workers`, which never load
torch. Chooses nothing.
"""
