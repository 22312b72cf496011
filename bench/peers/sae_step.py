"""One optimiser step of a TopK sae as a public library on torch does it; a contestant of bench/sae-step.ts.

    pip install torch==2.13.0 sae-lens==6.54.12 eai-sparsify==1.3.3
    python sae_step.py sparsify|saelens D_MODEL WIDTH K BATCH_ROWS MICRO_BATCH_ROWS

Both run in float32 on all cores with Adam, gradients of a unit-norm decoder projected where the library does that, and in
micro-batches of the same size as ours. Exit code 3 says that the library is not installed.
"""

import os
import resource
import sys
import time

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its Triton decoder needs a GPU
try:
    import torch

    if sys.argv[1] == "sparsify":
        from contextlib import redirect_stdout

        with redirect_stdout(sys.stderr):  # it prints while it is imported
            from sparsify import SparseCoder, SparseCoderConfig
    else:
        from sae_lens.saes.sae import TrainStepInput
        from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)

name = sys.argv[1]
d_model, width, k, batch_rows, micro_rows = map(int, sys.argv[2:7])
torch.manual_seed(0)
x = torch.randn(d_model) + torch.randn(batch_rows, d_model)
micro_batches = x.split(micro_rows)


def sparsify_step():
    sae = SparseCoder(d_model, SparseCoderConfig(num_latents=width, k=k))
    optimiser = torch.optim.Adam(sae.parameters(), lr=2e-4)

    def step():
        sae.set_decoder_norm_to_unit_norm()
        total_variance = (x - x.mean(0)).pow(2).sum()
        for rows in micro_batches:
            sae(rows, total_variance=total_variance).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def saelens_step():
    config = TopKTrainingSAEConfig(
        d_in=d_model, d_sae=width, k=k, use_sparse_activations=False, rescale_acts_by_decoder_norm=False
    )
    sae = TopKTrainingSAE(config)
    optimiser = torch.optim.Adam(sae.parameters(), lr=2e-4)

    def step():
        for rows in micro_batches:
            inputs = TrainStepInput(
                sae_in=rows, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False
            )
            (sae.training_forward_pass(inputs).loss / len(micro_batches)).backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


step = {"sparsify": sparsify_step, "saelens": saelens_step}[name]()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        break
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, flush=True)
