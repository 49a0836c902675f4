"""Corpora of mixtures: `registry.open_corpus` opens one by a text such as folder:PATH.

Folders of recordings, synthetic voices, and mixtures that lie in files. Recordings are decoded once
into `audio_cache`; `mixture` has the records that all corpora share. Knows no network.
"""
