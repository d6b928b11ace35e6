IMPORTS = '''import json
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from torch import nn
from transformers import AutoModelForMaskedLM, AutoTokenizer

from helpers.data import corpora
from helpers.data.batching import pack
from helpers.data.masking import IGNORED, FixedMasks, MaskedCollator, mask_tokens
from helpers.data.vocabulary import learn_wordpiece
from helpers.models.modernbert import ModernBert, ModernBertBlock, ModernBertConfig
from helpers.models.ngrams import KneserNey
from helpers.teaching import diagrams, exercises, plots
from helpers.teaching.show import show
from helpers.training.loop import TrainingConfig, evaluate, train

SCALE_UP = False  # True on a GPU: a hundred times the updates
STEPS = 12_000 if SCALE_UP else 120  # of the live run'''
TEXT = '''news = corpora.bbc_news()
documents = {
    name: [f"{article['headline']}\\n{article['body']}" for article in split]
    for name, split in news.items()
}
tokenizer = learn_wordpiece(documents["train"], vocab_size=4096)
V = len(tokenizer)
CLS, SEP, MASK = (tokenizer.convert_tokens_to_ids(t) for t in ("[CLS]", "[SEP]", "[MASK]"))'''
BLOCKS = '''BLOCK = 128  # pieces


def blocks_of(texts):
    """Articles joined end to end and cut into blocks: (number of blocks, BLOCK) ids."""
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return pack(ids, BLOCK, separator=SEP, start=CLS)


blocks = {name: blocks_of(texts) for name, texts in documents.items()}
datasets = {name: [{"input_ids": row} for row in rows] for name, rows in blocks.items()}'''
COLLATOR = '''collator = MaskedCollator(MASK, V, tuple(tokenizer.all_special_ids), rate=0.3)
held_out = FixedMasks(datasets["validation"], replace(collator, rate=0.15))'''
NETWORK = '''CONFIG = ModernBertConfig(
    vocab_size=V, d_model=192, n_layers=4, n_heads=4, d_ff=512, max_positions=512, rope_base=1e4
)'''
RECIPE = '''RECIPE = {
    "learning_rate": 1e-3,
    "schedule": "linear",
    "warmup_ratio": 0.05,
    "batch_size": 8,
    "beta2": 0.98,
    "group_by_length": False,  # blocks are all of one length
}
ALTERNATIVES = {
    "batches of 32": {"batch_size": 32, "learning_rate": 2e-3},
    "Muon": {"optimizer": "muon", "learning_rate": 3e-3, "batch_size": 16},
}'''
