"""One optimiser step of a TopK sae as a public library on torch does it; a contestant of bench/sae-step.ts.

    pip install torch==2.13.0 sae-lens==6.54.12 eai-sparsify==1.3.3
    pip install --no-deps dictionary-learning==0.1.0
    python sae_step.py sparsify|saelens|dictionary_learning D_MODEL WIDTH K BATCH_ROWS MICRO_BATCH_ROWS

All in float32 on all cores with Adam, gradients of a unit-norm decoder projected where the library does that, and in
micro-batches of the same size as ours. For each line "none_dead" or "tenth_dead" one step, in which the first tenth of the features
counts as dead in the latter. Exit code 3 says that the library is not installed.
"""

import os
import resource
import sys
import time
import types

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its Triton decoder needs a GPU
try:
    import torch

    if sys.argv[1] == "sparsify":
        from contextlib import redirect_stdout

        with redirect_stdout(sys.stderr):  # it prints while it is imported
            from sparsify import SparseCoder, SparseCoderConfig
    elif sys.argv[1] == "saelens":
        from sae_lens.saes.sae import TrainStepInput
        from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    else:
        # It reads activations with nnsight, which is not used here.
        sys.modules["nnsight"] = types.SimpleNamespace(LanguageModel=object)
        from dictionary_learning.trainers.top_k import TopKTrainer
        from dictionary_learning.trainers.trainer import (
            remove_gradient_parallel_to_decoder_directions,
            set_decoder_norm_to_unit_norm,
        )
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)

name = sys.argv[1]
d_model, width, k, batch_rows, micro_rows = map(int, sys.argv[2:7])
torch.manual_seed(0)
x = torch.randn(d_model) + torch.randn(batch_rows, d_model)
micro_batches = x.split(micro_rows)
tenth_dead = torch.arange(width) < round(width / 10)


def sparsify_step():
    sae = SparseCoder(d_model, SparseCoderConfig(num_latents=width, k=k))
    optimiser = torch.optim.Adam(sae.parameters(), lr=2e-4)

    def step(dead_mask):
        sae.set_decoder_norm_to_unit_norm()
        total_variance = (x - x.mean(0)).pow(2).sum()
        for rows in micro_batches:
            out = sae(rows, dead_mask=dead_mask, total_variance=total_variance)
            (out.fvu + out.auxk_loss / 32).backward()
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

    def step(dead_mask):
        for rows in micro_batches:
            inputs = TrainStepInput(
                sae_in=rows, coefficients={}, dead_neuron_mask=dead_mask, n_training_steps=0, is_logging_step=False
            )
            (sae.training_forward_pass(inputs).loss / len(micro_batches)).backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def dictionary_learning_step():
    trainer = TopKTrainer(
        steps=1000, activation_dim=d_model, dict_size=width, k=k, layer=0, lm_name="", warmup_steps=1, decay_start=900, device="cpu"
    )
    sae, optimiser = trainer.ae, trainer.optimizer

    def step(dead_mask):
        # What its `update` does, in micro-batches.
        for rows in micro_batches:
            silent = 0 if dead_mask is None else dead_mask * 2 * trainer.dead_feature_threshold
            trainer.num_tokens_since_fired = torch.zeros(width, dtype=torch.long) + silent
            (trainer.loss(rows, step=0) / len(micro_batches)).backward()
        sae.decoder.weight.grad = remove_gradient_parallel_to_decoder_directions(
            sae.decoder.weight, sae.decoder.weight.grad, d_model, width
        )
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        sae.decoder.weight.data = set_decoder_norm_to_unit_norm(sae.decoder.weight, d_model, width)

    return step


step = {"sparsify": sparsify_step, "saelens": saelens_step, "dictionary_learning": dictionary_learning_step}[name]()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        break
    start = time.perf_counter()
    step(tenth_dead if line.strip() == "tenth_dead" else None)
    print(time.perf_counter() - start, flush=True)
