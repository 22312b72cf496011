"""Opening a checkpoint with transformers; a contestant of bench/open-model.ts.

    pip install torch==2.13.0 transformers==5.23.0
    python open_model.py FOLDER THREADS

Answers "open" and "token" (the logits of one token) with seconds, "written" with the bytes sent to storage. Exit code 3 says that a
library is not installed.
"""

import re
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

folder, threads = sys.argv[1], int(sys.argv[2])
logging.disable_progress_bar()
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
model = None


def written_bytes():
    return int(re.search(r"^write_bytes: (\d+)", open("/proc/self/io").read(), re.M).group(1))


before = written_bytes()
print("ready", flush=True)
for line in sys.stdin:
    task = line.strip()
    if task == "end":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        break
    start = time.perf_counter()
    if task == "open":
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    elif task == "token":
        model(torch.tensor([[5]]))
    seconds = time.perf_counter() - start
    if task == "written":
        print(written_bytes() - before, flush=True)
    else:
        print(seconds, flush=True)
