"""Several saes from one forward as sparsify's trainer makes them; a contestant of bench/sae-layers.ts.

    pip install torch==2.13.0 transformers==5.23.0 eai-sparsify==1.3.3
    python sae_layers.py FOLDER LAYERS TEXTS TEXT_TOKENS WIDTH K THREADS

The steps of `sparsify.trainer.Trainer.fit` for its default loss, without logging and saving: one forward of the model with a hook on
each layer that runs its sae and the sae's backward pass, then gradients projected, and Adam. float32 with the precision that it sets.
Exit code 3 says that a library is not installed.
"""

import os
import resource
import sys
import time

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its Triton decoder needs a GPU
try:
    import torch
    from transformers import AutoModel
    from transformers.utils import logging
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):  # it prints while it is imported
        from sparsify import SparseCoder, SparseCoderConfig
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)

folder = sys.argv[1]
layers = list(map(int, sys.argv[2].split(",")))
texts, text_tokens, width, k, threads = map(int, sys.argv[3:8])
logging.disable_progress_bar()
torch.set_num_threads(threads)
torch.set_float32_matmul_precision("high")
model = AutoModel.from_pretrained(folder, dtype=torch.float32).requires_grad_(False)
d_model = model.config.hidden_size
torch.manual_seed(0)
ids = torch.randint(model.config.vocab_size, (texts, text_tokens))
saes = {layer: SparseCoder(d_model, SparseCoderConfig(num_latents=width, k=k)) for layer in layers}
optimiser = torch.optim.Adam([p for sae in saes.values() for p in sae.parameters()], lr=2e-4)
no_dead = torch.zeros(width, dtype=torch.bool)
fired = {layer: torch.zeros(width, dtype=torch.bool) for layer in layers}
modules = {model.layers[layer]: layer for layer in layers}


def hook(module, _inputs, outputs):
    rows = (outputs[0] if isinstance(outputs, tuple) else outputs).flatten(0, 1)
    layer = modules[module]
    sae = saes[layer]
    sae.set_decoder_norm_to_unit_norm()
    out = sae(x=rows, y=rows, dead_mask=no_dead, total_variance=(rows - rows.mean(0)).pow(2).sum())
    fired[layer][out.latent_indices.flatten()] = True
    (out.fvu + out.auxk_loss / 32).backward()


for module in modules:
    module.register_forward_hook(hook)


def step():
    model(ids, use_cache=False)
    for sae in saes.values():
        sae.remove_gradient_parallel_to_decoder_directions()
    optimiser.step()
    optimiser.zero_grad()


print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        break
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, flush=True)
