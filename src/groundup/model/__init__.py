"""Token ids in, logits out.

Read in this order: `config.py` (what a model is made of), `gpt.py` (the whole model), `attention.py`
(its heart), `layers.py` (norms and feed-forwards), `linear.py` (the product under all of them),
`positions.py` (how order gets in), `loss.py` (logits → one number), `presets.py` (the models of the
papers as data), `cost.py` (parameters, FLOPs and bytes by formula). A model knows no tokenizer, no
file and no device policy.
"""
