"""Paths in, pieces of text out: every file format that documents come in.

Read in this order: `read.py` (what everybody calls), `tables.py` (JSONL, JSON, CSV, Parquet: a row
is a document), `encodings.py` (bytes to text). Documents are streamed, never held whole; what cannot
be read is refused with its file, line and cure. It knows no tokenizer: learning a vocabulary and
preparing data both stand on it.
"""
