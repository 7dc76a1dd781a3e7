"""Paths in, pieces of text out: every place and every file format that documents come from.

Read in this order: `read.py` (what everybody calls), `source.py` (what goes in and out),
`problems.py` (what may be wrong, and who decides what follows); then from the path to the text:
`find.py` (files, folders), `hub.py` and `download.py` over `remote.py` (the network), `archives.py`
(what is packed), `tables.py` (a row is a document), `pages.py` (HTML, PDF, DOCX), `encodings.py`
(bytes to text); last `rows.py` (rows with all their fields), `damage.py` (what looks broken) and
`fingerprint.py` (what identifies a text).
Documents are streamed, never held whole; what cannot be read is refused, or reported and passed
over, with its file, line and cure. It knows no tokenizer: learning a vocabulary and preparing data
both stand on it.
"""
