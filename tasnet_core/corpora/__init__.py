"""Where mixtures come from: `registry.open_corpus` opens what a text such as folder:PATH names, as one `Corpus`.

Folders of recordings, synthetic voices, and mixtures that lie in files. Recordings are decoded once into `audio_cache`; `mixture`
has the nouns that everybody uses. Knows no network.
"""
