"""Steered decoding with transformers and a forward hook; a contestant of bench/decode.ts.

    pip install torch==2.13.0 transformers==5.23.0
    python decode.py FOLDER PROMPT_TOKENS NEW_TOKENS THREADS

Answers a number, which picks the hook's direction, with the seconds of one new token of one request, its prompt read before.
Requests with different hooks cannot share a batch, so a server runs them one after another: eight take eight times as long each.
Attention is torch's scaled_dot_product_attention, the library's default and its fastest here. Exit code 3 says that a library is
not installed.
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
prompt_tokens, new_tokens, threads = map(int, sys.argv[2:5])
logging.disable_progress_bar()
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
blocks = model.model.layers
prompt = torch.randint(model.config.vocab_size, (1, prompt_tokens), generator=torch.Generator().manual_seed(0))


def steer(seed):
    direction = torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(seed))

    def hook(_module, _inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden = hidden + 0.5 * direction
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    return blocks[len(blocks) // 2].register_forward_hook(hook)


def seconds_per_token(seed):
    hook = steer(seed)
    out = model(prompt, use_cache=True, logits_to_keep=1)
    past = out.past_key_values
    start = time.perf_counter()
    for _ in range(new_tokens):
        token = torch.multinomial(torch.softmax(out.logits[:, -1] / 0.7, -1), 1)
        out = model(token, past_key_values=past, use_cache=True)
    seconds = time.perf_counter() - start
    hook.remove()
    return seconds / new_tokens


print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        break
    print(seconds_per_token(int(line)), flush=True)
