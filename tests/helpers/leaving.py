"""How a process of several ends."""

import os

import torch.distributed as dist


def leave():
    """End once all have written.

    About one time in eight the interpreter's own exit was aborted by a thread of C++ that was still
    there ("terminate called without an active exception").
    """
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)
