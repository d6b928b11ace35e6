"""A model whose weights, gradient and moments are divided among the processes: PyTorch's FSDP2.

Each of k processes keeps a k-th of each tensor. Before a block's forward and backward pass its
weights are gathered, and dropped after it; its gradient is summed and scattered in the backward
pass (Rajbhandari et al., *ZeRO*, SC 2020, section 5; Zhao et al., *PyTorch FSDP*, VLDB 2023). What
is computed is what one process with all sequences computes, but for the order of sums.

`train(…, strategy="fsdp")` trains a sharded copy. The caller's model stays whole, on the CPU, and
gets the weights of the shards for each checkpoint and at the end: it is saved and loaded as ever.
So each process needs CPU memory for one model, with `best_metric` for two, and rank 0 for the
moments too when it writes them. Buffers that a forward pass changes, as BatchNorm's, are each
process's own during the run; what is saved are the first one's.

Weights are gathered in fp32, also where the products are in bf16, so that an evaluation can be in
fp32. The copies in bf16 that autocast makes of matrices, 2 bytes a weight, aren't divided.
"""

import copy
import warnings

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(model: nn.Module) -> bool:
    """Whether a forward pass needs all processes: a model of `shard`, or one around it."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def check_shardable(model: nn.Module, precision: str) -> None:
    """Refuse what can't be trained in shards.

    Raises:
        ValueError: for fp16, and for weights in another format than fp32.
    """
    if precision == "fp16":
        raise ValueError(
            'strategy="fsdp" with precision="fp16": the scaling of its loss isn\'t made for '
            'shards. Use precision="bf16", or "fp32" where the device has no bf16.'
        )
    for name, parameter in model.named_parameters():
        if parameter.dtype != torch.float32:
            raise ValueError(
                f'strategy="fsdp": {name} is {parameter.dtype}. Load the model with '
                "dtype=torch.float32, frozen weights too: a block's weights are gathered as one."
            )


def shard(model: nn.Module, group: PartialState) -> nn.Module:
    """A copy of `model` of which each process has its share, on its device.

    All processes call it, each with a model of the same shapes; the weights are those of the first
    one, also in `model`, which is moved to the CPU. Sharded one by one are the blocks, which are
    the modules in the outermost `nn.ModuleList`s, and then the rest.

    Raises:
        ValueError: a parameter has no dimension, or is shared by two blocks.
    """
    model.cpu()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            there = tensor.to(group.device).contiguous()  # NCCL sends nothing that is on the CPU
            dist.broadcast(there, src=0)
            tensor.copy_(there)
    # The copy's tensors share the memory of the model's until they are cut.
    shared = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in model.parameters()}
    sharded = copy.deepcopy(model, shared)
    mesh = init_device_mesh(group.device.type, (group.num_processes,))
    # A model may return views, such as logits without their last axis; nothing changes them.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
    for block in _blocks(sharded):
        fully_shard(block, mesh=mesh)
    # Torch's default keeps what isn't in a block gathered between forward and backward pass, and
    # after an evaluation: logits that are computed when they are read find their weights.
    fully_shard(sharded, mesh=mesh)
    if len(list(sharded.parameters())) != len(list(model.parameters())):
        raise ValueError(
            'strategy="fsdp": a weight is shared by several blocks, or by a block and what is '
            "around the blocks. Each is gathered by itself, and would get its own."
        )
    return sharded


def _blocks(module: nn.Module) -> list[nn.Module]:
    found = []
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            found += [block for block in child if any(True for _ in block.parameters())]
        else:
            found += _blocks(child)
    return found


@torch.no_grad()
def gather(sharded: nn.Module, whole: nn.Module) -> None:
    """Put the weights of all shards into `whole`, in each process; all processes call it."""
    drop_gathered(sharded)
    for mine, theirs in zip(sharded.parameters(), whole.parameters(), strict=True):
        theirs.copy_(mine.full_tensor())
    for mine, theirs in zip(sharded.buffers(), whole.buffers(), strict=True):
        dist.broadcast(mine, src=0)
        theirs.copy_(mine)


@torch.no_grad()
def scatter(whole: nn.Module, sharded: nn.Module) -> None:
    """Put this process's share of the weights of `whole` into `sharded`; the way back."""
    drop_gathered(sharded)
    for mine, theirs in zip(sharded.parameters(), whole.parameters(), strict=True):
        mine.copy_(placed_like(mine, theirs))
    for mine, theirs in zip(sharded.buffers(), whole.buffers(), strict=True):
        mine.copy_(theirs)


def drop_gathered(model: nn.Module) -> None:
    """Drop what a forward pass without a backward pass has left gathered; nothing if whole."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def full(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that may be sharded, on the CPU if it was; all processes call it."""
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def placed_like(parameter: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """A new tensor with these values that lies in memory as `parameter` does, or as its shards.

    `values` are whole, of the parameter's shape, in each process: nothing is sent.
    """
    if isinstance(parameter, DTensor):
        moved = values.to(parameter.device)
        return distribute_tensor(
            moved, parameter.device_mesh, parameter.placements, src_data_rank=None
        )
    return torch.empty_like(parameter, dtype=values.dtype).copy_(values)
