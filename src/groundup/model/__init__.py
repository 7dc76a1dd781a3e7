"""Token ids in, logits out.

Read in this order: `config.py` (what a model is made of), `gpt.py` (the whole model), `attention.py`
(its heart), `layers.py` (norms and feed-forwards), `linear.py` (the product under all of them),
`positions.py` (how order gets in), `loss.py` (logits → one number), `classifier.py` (a head of
labels), `presets.py` (the models of the papers as data), `cost.py` (parameters, FLOPs and bytes),
`diagram.py` (a model in words), `drawing.py` (its diagram as text and HTML), `sheet.py` (all of that
as tables and a page); and what is done to a model that is there: `lora.py` (adapters beside its
matrices), `quantized.py` (its matrices in few bits), `packed.py` (their products), `kernels.py` (a few
tokens on a CPU, as compiled loops). A model knows no tokenizer, no file and no device policy.
"""
