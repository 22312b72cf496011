"""Residual streams with transformers and forward hooks; a contestant of bench/prefill.ts.

    pip install torch==2.13.0 transformers==5.23.0
    python prefill.py FOLDER TEXTS TEXT_TOKENS THREADS

Answers "one_layer" and "all_layers" with seconds. For one layer the model is cut after the hooked block, as ours stops there, and the
last norm and the head are not run. Attention is torch's scaled_dot_product_attention, the library's default and its fastest here.
Exit code 3 says that a library is not installed.
"""

import resource
import sys
import time

try:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)

folder = sys.argv[1]
texts, text_tokens, threads = map(int, sys.argv[2:5])
logging.disable_progress_bar()
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
decoder = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().model
decoder.norm = torch.nn.Identity()
blocks = decoder.layers
ids = torch.randint(decoder.config.vocab_size, (texts, text_tokens), generator=torch.Generator().manual_seed(0))


def run(layers):
    taps = {}

    def hook_of(layer):
        def hook(_module, _inputs, output):
            taps[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    decoder.layers = blocks[: max(layers) + 1]
    decoder.config.num_hidden_layers = len(decoder.layers)
    hooks = [blocks[layer].register_forward_hook(hook_of(layer)) for layer in layers]
    start = time.perf_counter()
    decoder(ids, use_cache=False)
    seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    assert len(taps) == len(layers)
    return seconds


tasks = {"one_layer": [len(blocks) // 2], "all_layers": range(len(blocks))}
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        break
    print(run(tasks[line.strip()]), flush=True)
