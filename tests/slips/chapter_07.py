"""Usual slips in the exercises of chapter 07: the exercise, an answer, words of the message."""

SLIPS = [
    ("07.1", "4", "only 8 are kept"),
    ("07.1", "0.5", "Keys and values are both kept"),
    ("07.1", "2.0", "Two bytes a number"),
    ("07.1", "1.0737", "2^30 bytes"),
    ("07.1", "1 / 32", "one layer"),
    ("07.1", "Fraction(1)", "Right"),
    ("07.2", "361_821_120 + 49_152 * 960", "counted once"),
    ("07.2", "361_821_120 - 960", "behind the last block"),
    ("07.2", "361_821_120 + 32 * 2 * 960 * 10 * 64", "Keys and values have 5 heads"),
    ("07.2", "361_821_120 - 32 * 960", "two norms"),
    ("07.2", "361_821_120 - 32 * 960 * 2560", "three matrices"),
    ("07.2", "361_821_120.0", "Right"),
    ("07.4", "'feeding the prompt in two halves'", "however they arrived"),
    ("07.4", "'dropping the queries of earlier tokens'", "one query, its own"),
    ("07.5", "3 * 69_120", "share three"),
    ("07.5", "34_560", "Keys and values are both kept"),
    ("07.5", "2_304", "one layer"),
    ("07.5", "276_480", "bytes"),
    ("07.6", "3.34", "after the whole beginning"),
    ("07.6", "22.97", "the sum over 64"),
    ("07.6", "torch.tensor(0.359)", "Right"),
    (
        "grouped_attention",
        """
        def grouped_attention(q, k, v):
            group = q.size(1) // k.size(1)
            k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
            scores = q @ k.mT / q.size(-1) ** 0.5
            future = torch.ones(q.size(2), q.size(2), dtype=torch.bool).triu(1)
            return scores.masked_fill(future, -torch.inf).softmax(-1) @ v
        """,
        "do without repeat_interleave",
    ),
    (
        "grouped_attention",
        """
        def grouped_attention(q, k, v):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        """,
        "do without scaled_dot_product_attention",
    ),
    (
        "grouped_attention",
        """
        def grouped_attention(q, k, v):
            B, h, T, d_k = q.shape
            q = q.view(B, k.size(1), -1, T, d_k)
            scores = q @ k[:, :, None].mT
            future = torch.ones(T, T, dtype=torch.bool).triu(1)
            weights = scores.masked_fill(future, -torch.inf).softmax(-1)
            return (weights @ v[:, :, None]).view(B, h, T, d_k)
        """,
        "root of d_k",
    ),
    (
        "grouped_attention",
        """
        def grouped_attention(q, k, v):
            B, h, T, d_k = q.shape
            q = q.view(B, -1, k.size(1), T, d_k).transpose(1, 2)
            scores = q @ k[:, :, None].mT / d_k**0.5
            future = torch.ones(T, T, dtype=torch.bool).triu(1)
            out = scores.masked_fill(future, -torch.inf).softmax(-1) @ v[:, :, None]
            return out.transpose(1, 2).reshape(B, h, T, d_k)
        """,
        "those of a group are neighbours",
    ),
    (
        "grouped_attention",
        """
        def grouped_attention(q, k, v):
            groups = q.unflatten(1, (k.size(1), -1))
            scores = torch.einsum("bgitd,bgsd->bgits", groups, k) / q.size(-1) ** 0.5
            future = torch.ones(q.size(2), q.size(2)).triu(1) > 0
            weights = torch.softmax(scores - 1e9 * future, -1)
            return torch.einsum("bgits,bgsd->bgitd", weights, v).flatten(1, 2)
        """,
        "Right",
    ),
]
