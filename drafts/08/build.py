import sys; sys.path.insert(0,'/tmp/dev08')
from defs import *
from nbformat.v4 import *; import nbformat
cells=[]; n=[0]
def md(id,s): c=new_markdown_cell(s.strip('\n')); c.id='c08-'+id; cells.append(c)
def code(id,s,tags=(),fig=None,cap=None,alt=None):
    c=new_code_cell(s.strip('\n')); c.id='c08-'+id
    if tags: c.metadata['tags']=list(tags)
    if fig: c.metadata['mystnb']={'image':{'alt':alt},'figure':{'caption':cap,'name':fig}}
    cells.append(c)
D=('definitions',)
md('title','''
(chapter-08)=
# Masked language modelling

A blank in a sentence is a question, and the sentence holds the answer.
*The striker scored twice in the second ___* needs grammar, football and the words on both sides.
BERT was trained on nothing else than such blanks, made by the billion from plain text, and what it learned on the way serves every task of the later chapters.
This chapter trains such a model from random weights on 1,409 news articles: first live, for a quarter of a minute, then in a longer run whose checkpoint the book keeps.
It measures which parts of the recipe are worth their time, what the model has learned, and what that buys when labels are few.

By the end you will be able to

- derive the masked language modelling loss and its gradient, and say at which positions there is one;
- prepare documents, a vocabulary and blocks without padding, and verify the 80/10/10 masking by its statistics;
- compare a masked model with n-grams in bits per token;
- judge a pretraining recipe at an equal number of minutes, part by part;
- say what next-sentence prediction is, and what pretraining buys on a task with few labels.
''')
md('needs','''
## What this chapter needs

| | |
|---|---|
| models and data | `bbc-news` (2,012 articles), 3 MB; a checkpoint of 5 MB that comes with the book |
| time and memory | TIMEROW |
| on a GPU | set `SCALE_UP = True` below: a hundred times the updates in the live run; or pretrain on text of your own with `helpers.training.pretrain`, which ends this chapter |
| before it | [chapter 06](#chapter-06) for BERT, [chapter 02](#chapter-02) for WordPiece, [chapter 01](#chapter-01) for cross-entropy and n-grams |
''')
code('setup','SETUP')
code('imports',IMPORTS,D)
md('objective','''
## The objective

A causal language model predicts the next token from those before it.
For understanding a given sentence that is half of what one could use: the words after the gap are known as well.
But a network that sees the whole sentence can't be asked for a word that it sees; it would copy.
So hide some words first, and ask for those.

Let $x_1, \\dots, x_T$ be the pieces of a text.
Choose a random set of positions $M$, and let $\\tilde{x}$ be the text with the pieces at these positions hidden.
*Masked language modelling* minimises the cross-entropy of the hidden pieces given what is left {cite:p}`devlin2019bert`:

$$\\mathcal{L}(\\theta) = -\\frac{1}{|M|} \\sum_{t \\in M} \\log p_\\theta(x_t \\mid \\tilde{x}).$$ (eq-08-mlm)

Every prediction sees both sides.
That is the strength of the objective, and its price: {eq}`eq-08-mlm` isn't the probability of the text, since the hidden pieces are predicted independently of each other.
There is no chain rule here, and no honest way to read a perplexity of the text off this model.

Take our six-word sentence, *the dog sat on the mat*, and hide *sat* and *mat*.
Say the model gives *sat* a probability of 1/2 and *mat* 1/8.
The loss is $\\frac12(\\log 2 + \\log 8) = \\log 4 = 1.3863$ nats, as if it had to choose among four words at each gap.

What does the loss teach?
Its derivative with respect to the logits $\\mathbf{z}_t$ at position $t$ follows from that of the cross-entropy, $\\partial(-\\log \\hat p_y) / \\partial \\mathbf{z} = \\hat{\\mathbf{p}} - \\mathbf{e}_y$ with $\\mathbf{e}_y$ the one-hot vector of the right piece:

$$
\\frac{\\partial \\mathcal{L}}{\\partial \\mathbf{z}_t} =
\\begin{cases}
(\\hat{\\mathbf{p}}_t - \\mathbf{e}_{x_t}) / |M| & t \\in M, \\\\
\\mathbf{0} & \\text{otherwise.}
\\end{cases}
$$ (eq-08-gradient)

At all other positions the logits get no gradient, so nothing is lost by not computing them.
The cell checks both statements.
The label $-100$, `IGNORED`, is what torch's cross-entropy leaves out.
''')
code('loss','''
# NBVAL_CHECK_OUTPUT
words = "the dog sat on the mat".split()
vocabulary = sorted(set(words))  # 5 words
ids = torch.tensor([vocabulary.index(word) for word in words])  # (6,)
chosen = torch.tensor([False, False, True, False, False, True])
labels = ids.masked_fill(~chosen, IGNORED)

p_right = torch.tensor([0.9, 0.2, 1 / 2, 0.6, 0.3, 1 / 8], dtype=torch.float64)
p = ((1 - p_right) / 4)[:, None].repeat(1, 5)  # what is left is shared equally
p[torch.arange(6), ids] = p_right  # (6, 5)
z = p.log().requires_grad_()  # logits
loss = F.cross_entropy(z, labels, ignore_index=IGNORED)
loss.backward()
by_hand = (p - F.one_hot(ids, 5)) / 2 * chosen[:, None]
print("labels:", labels.tolist())
print(f"loss {loss.item():.4f} = log 4 = {math.log(4):.4f}")
assert (z.grad - by_hand).abs().max() < 1e-12
print("gradient equals the formula within 1e-12: True")
print("norm of the gradient at each word:", z.grad.norm(dim=1).round(decimals=3).tolist())
''')
md('box14','''
(correction-14)=
:::{admonition} A common mistake: "the MLM loss is computed over the whole sequence"
:class: correction

Code that passes `labels=input_ids` computes the loss at all positions, the visible ones too.
There the model need only copy, which it soon does well: the number looks fine and says nothing.
The loss of {eq}`eq-08-mlm` is taken at the chosen positions alone; everywhere else the label is $-100$.
Below, once the trained model is loaded, [a cell measures by how much](#proof-14) the wrong number flatters.
:::

(correction-11)=
:::{admonition} A common mistake: "BERT is pretrained with contrastive learning"
:class: correction

A contrastive loss compares a text with *other texts* of the batch, and pulls and pushes their vectors.
{eq}`eq-08-mlm` compares a piece with the *vocabulary*; no other text has a part in it.
BERT was trained with masked language modelling and next-sentence prediction.
Contrastive objectives are another family, which starts from such a model: [chapter 10](#chapter-10).

The next cell shows the difference: the masked loss of a text is the same whatever stands beside it in the batch, and a contrastive loss of the same vectors isn't.
:::
''')
code('box11','''
# NBVAL_CHECK_OUTPUT
torch.manual_seed(0)
small = ModernBert(ModernBertConfig(50, d_model=32, n_layers=2, n_heads=2, d_ff=48)).double().eval()
texts = torch.randint(5, 50, (4, 12))
gaps = torch.rand(4, 12) < 0.3
seen, labels = texts.masked_fill(gaps, 4), texts.masked_fill(~gaps, IGNORED)


def masked_loss_of_first(batch):
    """Loss of text 0, computed in a batch with other texts."""
    logits = small(seen[batch]).logits[0]
    return F.cross_entropy(logits, labels[0], ignore_index=IGNORED).item()


def contrastive_loss_of_first(batch):
    """How hard it is to tell text 0 from the others by its mean vector (chapter 10)."""
    vectors = F.normalize(small.hidden(texts[batch]).mean(1), dim=1)  # (B, d)
    return F.cross_entropy(vectors[:1] @ vectors.T / 0.05, torch.tensor([0])).item()


with torch.no_grad():
    for name, f in (("masked", masked_loss_of_first), ("contrastive", contrastive_loss_of_first)):
        values = [f(batch) for batch in ([0, 1], [0, 2, 3], [0, 1, 2, 3])]
        same = max(values) - min(values) < 1e-12
        print(f"{name:12} loss of text 0 in three batches, all the same: {same}")
''')
md('text','''
## The text, the vocabulary and the blocks

The corpus is the training part of BBC News {cite:p}`greene2006practical`, the headline and the body of 1,409 articles.
The validation and test articles are held out of everything, the vocabulary included: a model that has read the test articles, even without their labels, can't be tested on them.

(correction-13)=
:::{admonition} A common mistake: "remove stop words before pretraining"
:class: correction

Lists of stop words come from the age of word counts.
A language model learns grammar from *the*, *of* and *not*, and it will be used on text that has them.
It is trained on the text as it is: case and accents may be folded by the tokenizer, and that is all.
[A cell below](#proof-13) takes the stop words out of the context of a trained model, and the words that are left become harder to guess.
:::

A WordPiece vocabulary of 4,096 pieces is learned from the training articles; [chapter 02](#chapter-02) wrote the algorithm out, and `learn_wordpiece` calls the library's.
BERT's own has 30,522 pieces.
For a corpus of a million words most of them would hardly ever occur, and their vectors would stay random.
''')
code('text-code',TEXT,D)
code('text-look','''
# NBVAL_CHECK_OUTPUT
print(tokenizer.tokenize("The striker scored a hat-trick in Lisbon"))
counts = {name: sum(map(len, tokenizer(texts)["input_ids"])) for name, texts in documents.items()}
pd.DataFrame(
    {
        "articles": {name: len(texts) for name, texts in documents.items()},
        "pieces": counts,
        "pieces per word": {
            name: round(counts[name] / sum(len(text.split()) for text in texts), 2)
            for name, texts in documents.items()
        },
    }
)
''')
md('blocks','''
Articles have 100 to several thousand pieces, and a network wants rectangular batches.
Cutting every line to its own row and padding the rows is simple and wasteful: padding is computed like text and thrown away.
*Packing* wastes nothing.
Join the articles end to end, with [SEP] after each, and cut the stream into blocks of one length; each block begins with [CLS].
An article that is longer than a block goes on in the next, and a block may hold the end of one article and the beginning of another.
Attention sees across that border, which costs a little and keeps everything else simple.
''')
code('blocks-code',BLOCKS,D)
code('blocks-look','''
# NBVAL_CHECK_OUTPUT
lines = [line for text in documents["train"] for line in text.split("\\n") if line.strip()]
lengths = np.array([len(row) for row in tokenizer(lines, truncation=True, max_length=BLOCK)["input_ids"]])
order = np.random.default_rng(0).permutation(len(lengths))
batches = [lengths[order[i : i + 16]] for i in range(0, len(order), 16)]
dynamic = sum(batch.sum() for batch in batches) / sum(len(batch) * batch.max() for batch in batches)
print(f"{len(lines):,} lines of {lengths.mean():.0f} pieces on average")
print(f"real pieces among all, padded to {BLOCK}: {lengths.sum() / (len(lengths) * BLOCK):.0%}")
print(f"real pieces, padded to the longest of 16: {dynamic:.0%}")
print("real pieces in packed blocks: 100%;", {k: tuple(v.shape) for k, v in blocks.items()})
assert not (blocks["train"] == tokenizer.pad_token_id).any()
first = blocks["train"][0]
print(tokenizer.decode(first[:24]))
''')
md('masking','''
## Hiding pieces: 80, 10, 10

If every chosen piece became [MASK], the model would learn to work on [MASK] alone, and it will never see one in the tasks it is meant for.
BERT's way out is to be unpredictable {cite:p}`devlin2019bert`.
Each piece but the special ones is chosen with a probability of 15 %, and a chosen one becomes

- [MASK] in 80 % of the cases,
- a random piece of the vocabulary in 10 %,
- and stays as it is in 10 %.

The loss is taken at all chosen positions.
So a visible piece may be wrong, and a right one may be asked for: the model must form an opinion about every position.
{numref}`fig-08-masking` shows one draw.
''')
code('masking-figure','''
generator = torch.Generator().manual_seed(13)
words = "[CLS] the dog sat on the mat [SEP]".split()
small_vocabulary = ["[MASK]", "[CLS]", "[SEP]", "the", "dog", "sat", "on", "mat", "ran", "cat"]
ids = torch.tensor([[small_vocabulary.index(word) for word in words]])
seen, labels = mask_tokens(
    ids, ids > 2, mask_token_id=0, vocab_size=10, generator=generator, rate=0.6
)
ax = diagrams.canvas(6.9, 2.1)
for i, word in enumerate(words):
    x, chosen = 0.95 + 0.82 * i, labels[0, i] != IGNORED
    top = diagrams.box(ax, (x, 1.75), word, size=(0.7, 0.3))
    shown = small_vocabulary[seen[0, i]]
    bottom = diagrams.box(ax, (x, 1.0), shown, size=(0.7, 0.3), colour=1 if chosen else None)
    diagrams.arrow(ax, top.bottom, bottom.top)
    diagrams.label(ax, (x, 0.4), word if chosen else "–100", fontsize=9)
for y, name in ((1.75, "text"), (1.0, "seen"), (0.4, "label")):
    diagrams.label(ax, (0.05, y), name, align="left", fontsize=9)
_ = ax
''',('hide-input',),'fig-08-masking','One draw of the masking, with 60 % of the pieces chosen so that all three fates occur. Orange: chosen.','MASKALT')
code('mask-by-hand','''
# NBVAL_CHECK_OUTPUT
def mask_by_hand(ids, candidates, rate, generator):
    """The 80/10/10 rule, piece by piece: lists of ids seen and labels."""
    seen, labels = ids.tolist(), [IGNORED] * len(ids)
    for t, piece in enumerate(ids.tolist()):
        if not candidates[t] or torch.rand((), generator=generator) >= rate:
            continue
        labels[t] = piece
        fate = torch.rand((), generator=generator)
        if fate < 0.8:
            seen[t] = MASK
        elif fate >= 0.9:
            seen[t] = int(torch.randint(V, (), generator=generator))
    return seen, labels


candidates = ~torch.isin(blocks["train"], torch.tensor(tokenizer.all_special_ids))
row_seen, row_labels = mask_by_hand(first, candidates[0], 0.15, torch.Generator().manual_seed(0))
print(tokenizer.decode(row_seen[:32]))
print("to predict:", tokenizer.convert_ids_to_tokens([i for i in row_labels[:32] if i != IGNORED]))
''')
md('mask-verify','''
The package does the same for whole tensors.
A rule that is random can't be checked on one example, so count: over all blocks, the shares must agree with the rule as closely as chance allows.
The test below asks for each share how probable a deviation of at least this size is; a wrong rule would give values near zero.
''')
code('show-mask','show(mask_tokens)')
code('mask-stats','''
# NBVAL_CHECK_OUTPUT
generator = torch.Generator().manual_seed(0)
seen, labels = mask_tokens(
    blocks["train"], candidates, mask_token_id=MASK, vocab_size=V, generator=generator, rate=0.15
)
chosen = labels != IGNORED
hidden = chosen & (seen == MASK)
kept = chosen & (seen == blocks["train"])
other = chosen & ~hidden & ~kept
assert not (chosen & ~candidates).any()  # no special piece is ever chosen
assert torch.equal(seen[~chosen], blocks["train"][~chosen])
rows = []
for name, found, of, share in (
    ("chosen", chosen, candidates, 0.15),
    ("of these [MASK]", hidden, chosen, 0.8 + 0.1 / V),  # a random piece may be [MASK]
    ("of these another piece", other, chosen, 0.1 * (V - 2) / V),
    ("of these as before", kept, chosen, 0.1 + 0.1 / V),
):
    k, n_all = int(found.sum()), int(of.sum())
    chance = binomtest(k, n_all, share).pvalue
    assert chance > 0.001
    rows.append({"what": name, "count": k, "share": f"{k / n_all:.4f}", "p-value": f"{chance:.2f}"})
pd.DataFrame(rows).set_index("what")
''')
md('collator','''
Two settings will differ from BERT's.
In training 30 % are chosen, since more questions per text mean more to learn from each pass; {cite:t}`wettig2023should` found 40 % to be better than 15 % for models of the usual size.
For *measuring*, the rate stays 15 %, because with more pieces hidden each one is harder: losses at different rates can't be compared.
And the masks of the measurement are drawn once and for all, so that two models answer the same questions.
''')
code('collator-code',COLLATOR,D)
md('network','''
## The network

BERT's design is from 2018.
We train its descendant, ModernBERT {cite:p}`warner2025smarter`, which has the same idea and four changes, all known from earlier chapters: norms *before* the sublayers ([chapter 05](#chapter-05)), rotary positions instead of learned ones, a gated feed-forward layer ([chapter 07](#chapter-07)), and no biases.
The head that scores the vocabulary is BERT's: a dense layer, a non-linearity and a norm, and then a product with the embedding matrix, which is shared.
''')
code('show-block','show(ModernBertBlock)')
code('network-code',NETWORK,D)
md('network-proof','''
With 2.6 million parameters it is forty times smaller than BERT-base, of the right size for a million words and a few minutes.
Before it is trained, three checks: it is equal to the implementation in transformers, logits and loss; what it computes at the masked positions alone is what it computes everywhere; and its first loss is near $\\log V$, that of a model that knows nothing.
''')
code('network-check','''
# NBVAL_CHECK_OUTPUT
import tempfile

torch.manual_seed(0)
model = ModernBert(CONFIG).eval()
for p in model.parameters():  # larger weights, so that a difference would show
    nn.init.normal_(p, std=0.1)
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder, tokenizer=tokenizer)
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
batch = collator.mask(blocks["validation"][:8], torch.Generator().manual_seed(0))
with torch.no_grad():
    logits, expected = model(batch["input_ids"]).logits, theirs(**batch)
    ours = model(**batch)
print("parameters:", f"{sum(p.numel() for p in model.parameters()):,}")
assert (logits - expected.logits).abs().max() < 1e-4
print("logits equal to transformers' within 1e-4: True")
assert abs(ours.loss - expected.loss) < 1e-5
print("loss equal within 1e-5: True")
assert torch.allclose(ours.logits, logits[batch["labels"] != IGNORED], atol=1e-4)
print("logits at the labelled pieces:", tuple(ours.logits.shape), "of", tuple(logits.shape))

torch.manual_seed(0)
with torch.no_grad():
    loss = ModernBert(CONFIG)(**batch).loss.item()
assert abs(loss - math.log(V)) < 0.1
print(f"first loss {loss:.1f}, log V = {math.log(V):.1f}")
''')
md('live','''
## A live run

The loop is [chapter 11](#chapter-11)'s `train`; a masked model needs nothing special but the collator, which masks every batch anew.
So a block that is seen in ten passes asks ten different sets of questions.
The settings are those that the section on [the recipe](#recipe) justifies.
''')
code('recipe-code',RECIPE,D)
code('live-code','''
torch.manual_seed(0)
model = ModernBert(CONFIG)
history = train(
    model,
    datasets["train"],
    TrainingConfig(**RECIPE, steps=STEPS, progress=False),
    collate_fn=collator,
)
live = evaluate(model, held_out, collate_fn=held_out.collate)["loss"]
print(f"{len(history.losses)} updates, {history.tokens_per_second:,.0f} pieces/s")
print(f"loss {history.losses[0]:.2f} at first, {np.mean(history.losses[-20:]):.2f} at last")
print(f"held out: {live:.2f}")
''')
md('live-look','''
The loss has fallen from $\\log V = 8.3$ to LIVELOSS.
Is that much?
A model that ignores the text and gives every piece its frequency gets the *entropy of the pieces' distribution*, computed in the next section: about UNIGRAM.
So far our network has learned little more than which pieces are frequent.
That is how masked language modelling begins: a plateau near the unigram loss, until attention finds the first neighbours that help, and then the loss falls again.
How long it stays there decides what a small budget can reach.

## The long run

`scripts/chapter_08_pretrain.py` runs the cells of this chapter with LONGUPDATES updates, about LONGMIN minutes on two cores, or PASSES passes over the text.
Its weights, LONGMB MB in half precision, come with the book; its history is {numref}`fig-08-history`.
''')
code('history','''
with open("results/08-long-run.json", encoding="utf-8") as file:
    run = json.load(file)["mlm"]
training, validation = pd.DataFrame(run["training"]), pd.DataFrame(run["validation"])
frequencies = torch.bincount(blocks["train"][:, 1:].flatten(), minlength=V).double() + 1
unigram = (frequencies / frequencies.sum()).log()  # (V,)
answers = torch.cat([held_out[i]["labels"] for i in range(len(held_out))])
answers = answers[answers != IGNORED]
fig, ax = plt.subplots(figsize=(5.6, 3.4))
ax.plot(training["step"], training["loss"], marker="", label="training, 30 % masked")
ax.plot(validation["step"], validation["loss"], label="held out, 15 % masked")
ax.axhline(-unigram[answers].mean(), color=plots.INK, linestyle=":", label="unigram, held out")
ax.set(xlabel="updates", ylabel="loss (nats per masked piece)")
_ = ax.legend()
''',(),'fig-08-history','The long run. The rates differ, so the two curves can\'t be compared with each other; a text with more gaps is harder.','HISTALT')
code('load','''
# NBVAL_CHECK_OUTPUT
folder = "checkpoints/bbc-mlm"
mlm = ModernBert.from_pretrained(folder).to(device)
assert mlm.config == CONFIG
assert AutoTokenizer.from_pretrained(folder).get_vocab() == tokenizer.get_vocab()
theirs = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
with torch.no_grad():
    difference = (mlm(blocks["test"][:4].to(device)).logits.cpu() - theirs(blocks["test"][:4]).logits).abs().max()
assert difference < 1e-3
print("the checkpoint's logits here and in transformers differ by less than 1e-3: True")
''')
md('baselines','''
### Against counting

How good is the loss that it ends with?
[Chapter 01](#chapter-01) taught to respect counts, so here are four of them, learned from the same articles: the frequencies of pieces; Kneser–Ney bigrams and five-grams, which look left; and a model that looks to both sides, made of trigrams by Bayes' rule.
For a gap between $a\\,b$ on the left and $c$ on the right, it takes

$$p(w \\mid a, b, \\cdot, c) \\propto p(w \\mid a, b)\\; p(c \\mid b, w),$$ (eq-08-two-sided)

normalised over all $w$.
The counts are favoured: they see the true neighbours, while the network may find other gaps there.
All answer the same questions, 15 % of the pieces of the test articles; the two-sided model, which must try all 4,096 pieces at each gap, answers the first 1,500.
A loss in nats, divided by $\\log 2$, is in bits.
''')
code('baselines-code','''
questions = FixedMasks(datasets["test"], held_out.collator)
masked = FixedMasks.collate([questions[i] for i in range(len(questions))])  # (1783, 128) each
labelled = masked["labels"] != IGNORED
target = masked["labels"][labelled].numpy()  # (N,)
stream = np.concatenate([[SEP], blocks["train"][:, 1:].flatten().numpy()])
truth = np.concatenate([[SEP], blocks["test"][:, 1:].flatten().numpy()])  # the articles again
place = (1 + torch.arange(len(truth) - 1).view(-1, BLOCK - 1)[labelled[:, 1:]]).numpy()
assert (truth[place] == target).all()

nats = {"frequencies": -unigram.numpy()[target]}
for order, name in ((2, "bigrams"), (5, "five-grams")):
    nats[name] = -KneserNey(stream, order, V).log_probabilities(truth)[place - 1]


@torch.inference_mode()
def masked_nats(model, batch):
    """-log p and rank of each right piece, (N,) each, by a model that fills gaps."""
    loss, rank = [], []
    for i in range(0, len(batch["labels"]), 64):
        labels = batch["labels"][i : i + 64].to(device)
        z = model(batch["input_ids"][i : i + 64].to(device), labels=labels).logits  # (n, V)
        right = labels[labels != IGNORED]
        loss.append(F.cross_entropy(z, right, reduction="none"))
        rank.append((z > z.gather(1, right[:, None])).sum(1))
    return torch.cat(loss).cpu().double().numpy(), torch.cat(rank).cpu().numpy()


nats["masked model"], rank = masked_nats(mlm, masked)
''')
code('two-sided','''
trigram, few = KneserNey(stream, 3, V), 1500
every, two_sided = np.arange(V), []
for t in place[:few]:
    a, b = truth[max(t - 2, 0)], truth[t - 1]
    after = truth[t + 1] if t + 1 < len(truth) else SEP
    left = trigram.probability(np.repeat([[a, b]], V, axis=0), every)
    right = trigram.probability(np.stack([np.full(V, b), every], axis=1), np.full(V, after))
    joint = left * right
    two_sided.append(-np.log(joint[truth[t]] / joint.sum()))
nats["trigrams, both sides"] = np.array(two_sided)


def with_interval(values):
    half = 1.96 * values.std() / math.sqrt(len(values))
    return f"{values.mean():.2f} ± {half:.2f}"


table = pd.DataFrame(
    {
        "nats per piece": {name: with_interval(values) for name, values in nats.items()},
        "bits per piece": {name: with_interval(v / math.log(2)) for name, v in nats.items()},
    }
)
assert nats["masked model"].mean() < nats["five-grams"].mean() < nats["frequencies"].mean()
print(f"right at once: {np.mean(rank == 0):.1%}; among the first five: {np.mean(rank < 5):.1%}")
table
''')
md('baselines-text','BASETEXT')
md('proofs','''
(proof-14)=
Now the promised measurement.
Give the trained model the test blocks with 15 % hidden, and take the loss once where it belongs and once over all positions, as `labels=input_ids` would.
''')
code('proof14','''
with torch.inference_mode():
    some = {key: value[:200].to(device) for key, value in masked.items()}
    visible = (some["labels"] == IGNORED) & (some["input_ids"] > 4)  # no special pieces
    everywhere = blocks["test"][:200].to(device).masked_fill(some["input_ids"] == CLS, IGNORED)
    at_gaps = mlm(**some).loss.item()
    overall = mlm(some["input_ids"], labels=everywhere).loss.item()
    copied = mlm(some["input_ids"], labels=everywhere.masked_fill(~visible, IGNORED)).loss.item()
print(f"loss at the chosen pieces {at_gaps:.2f}; at all pieces {overall:.2f}")
print(f"at the pieces that are visible {copied:.2f}")
assert overall < 0.7 * at_gaps
''')
md('proof13','''
(proof-13)=
And the stop words.
From each of 200 test articles, take the first 100 words, hide one word in ten of those that are no stop words and a single piece, and ask for them twice: in the text as it is, and in the text without its stop words.
''')
code('proof13-code','''
generator = np.random.default_rng(0)


def hidden_words(text, keep):
    """Ids with gaps, and labels; `keep(word)` says which words stay in the context."""
    seen, labels = [CLS], [IGNORED]
    for word, is_gap in text:
        pieces = tokenizer.encode(word, add_special_tokens=False)
        if is_gap:
            seen, labels = [*seen, MASK], [*labels, pieces[0]]
        elif keep(word):
            seen, labels = [*seen, *pieces], [*labels, *[IGNORED] * len(pieces)]
    return torch.tensor([[*seen, SEP]]), torch.tensor([[*labels, IGNORED]])


def is_stop(word):
    return word.lower().strip(".,'\\"") in ENGLISH_STOP_WORDS


texts = []
for document in documents["test"][:200]:
    words = document.split()[:100]
    alone = [len(tokenizer.encode(w, add_special_tokens=False)) == 1 for w in words]
    gaps = [a and not is_stop(w) and generator.random() < 0.1 for w, a in zip(words, alone, strict=True)]
    texts.append(list(zip(words, gaps, strict=True)))
results = {}
with torch.inference_mode():
    for name, keep in (("as it is", lambda w: True), ("no stop words", lambda w: not is_stop(w))):
        losses = []
        for text in texts:
            seen, labels = hidden_words(text, keep)
            if (labels != IGNORED).any():
                z = mlm(seen.to(device), labels=labels.to(device)).logits
                right = labels[labels != IGNORED].to(device)
                losses += F.cross_entropy(z, right, reduction="none").tolist()
        results[name] = np.array(losses)
worse = results["no stop words"] - results["as it is"]
print(f"{len(worse)} words: {results['as it is'].mean():.2f} nats in the text as it is,")
print(f"{results['no stop words'].mean():.2f} without stop words; worse by {with_interval(worse)}")
assert worse.mean() > 0
''')
md('stop-text','STOPTEXT')
md('fill','''
### Your sentence

What does it put into a gap?
The table gives the five most probable pieces.
Change the sentences: the model knows the news of 2004 and 2005, in British English, and little else.
''')
code('fill-code','''
def fill(sentence, k=5):
    """The k most probable pieces for each [MASK] of the sentence, with probabilities."""
    batch = tokenizer(sentence, return_tensors="pt").to(device)
    if not (batch["input_ids"] == MASK).any():
        raise ValueError(f"{sentence!r} has no [MASK]: write [MASK] where a word is to be guessed.")
    with torch.inference_mode():
        z = mlm(batch["input_ids"], batch["attention_mask"]).logits[batch["input_ids"] == MASK]
    best = z.softmax(-1).topk(k)
    pieces = [tokenizer.convert_ids_to_tokens(row) for row in best.indices.tolist()]
    return [list(zip(p, v.tolist(), strict=True)) for p, v in zip(pieces, best.values, strict=True)]


sentences = [
    "The prime minister said the [MASK] would be held in May.",
    "Chelsea beat Arsenal in the [MASK] final.",
    "Shares in the company fell by 5 [MASK] on Tuesday.",
    "The film won the award for best [MASK].",
    "The film won the award for the best [MASK] at the festival.",
]
for sentence in sentences:
    print(sentence)
    for guesses in fill(sentence):
        print("   ", ", ".join(f"{piece} {p:.2f}" for piece, p in guesses))
''')
md('fill-text','FILLTEXT')
md('recipe','''
(recipe)=
## The recipe is an experiment, too

Where do the settings come from?
From papers that asked what can be trained in a day on one GPU {cite:p}`geiping2023cramming,portes2023mosaicbert` and from ModernBERT {cite:p}`warner2025smarter`; and then from trying, since two processor cores and ten minutes are not a GPU and a day.
The opponent is what most tutorials do: `BertForMaskedLM` of the same depth and width and as many parameters, trained by `Trainer` with `DataCollatorForLanguageModeling` on lines of text, padded, with every setting at its default.
Both get the same articles, the same vocabulary and ten minutes of two cores.

A comparison by the clock should not depend on what else a machine is doing.
So `scripts/chapter_08_recipe.py` first measures the seconds of one update of each contender, in turn, on a machine at rest; then each is trained for as many updates as fit into the minutes.
''')
code('recipe-table','RECIPETABLE')
md('recipe-text','RECIPETEXT')
code('ablation','ABLATION')
md('ablation-text','ABLATIONREAD')
md('nsp','NSPTEXT')
code('nsp-code','NSPCODE')
md('nsp-after','NSPAFTER')
md('buys','BUYSTEXT')
code('buys-code','BUYSCODE')
md('buys-after','BUYSAFTER')
md('own','''
## A corpus of your own

Everything of this chapter runs as a script as well, on one processor, one GPU or several machines, on any text files or any data set of the Hub, which is then streamed:

```bash
accelerate launch -m helpers.training.pretrain --objective mlm \\
    --output runs/wikitext \\
    --dataset Salesforce/wikitext --dataset-config wikitext-103-raw-v1 \\
    --d-model 768 --layers 22 --heads 12 --block-size 512 \\
    --batch-size 64 --steps 100000
```

The same command goes on where a killed one stopped, to the last bit, and the result is a folder that `AutoModelForMaskedLM.from_pretrained` reads, with a model card.
''')
md('exercises','''
## Exercises

````{exercise} A loss by hand
:label: exercise-08-1

Four pieces of a text of twelve are chosen.
The model gives the right piece at these four positions the probabilities 1/2, 1/4, 1/16 and 1/32, and a probability of 1 at all others.
What is the masked language modelling loss, in *bits*?
````

````{solution} exercise-08-1
:label: solution-08-1
:class: dropdown

The four cost 1, 2, 4 and 5 bits, 12 together.
The mean is over the four, not over the twelve: 3 bits.
````
''')
code('ex1','''
answer = ...  # your answer
_ = exercises.check_value(answer, "DIGEST1", salt="08.1", decimals=2)
''')
md('ex2t','''
````{exercise} How many questions?
:label: exercise-08-2

A block of 128 pieces begins with [CLS] and holds one [SEP].
At a rate of 15 %, how many pieces does the model see as [MASK], on average, if random pieces are hardly ever [MASK]?
Give two decimals.
````

````{solution} exercise-08-2
:label: solution-08-2
:class: dropdown

126 pieces are candidates, $0.15 \\cdot 126 = 18.9$ are chosen, and 80 % of them are shown as [MASK]: 15.12.
````
''')
code('ex2','''
answer = ...  # your answer
_ = exercises.check_value(answer, "DIGEST2", salt="08.2", decimals=2)
''')
md('ex3t','''
````{exercise} Which loss is lower?
:label: exercise-08-3

Two copies of one trained model are measured on the same articles, one with 15 % of the pieces chosen and one with 30 %.
Which one has the lower loss: "15 %", "30 %", or "they are equal"?
````

````{solution} exercise-08-3
:label: solution-08-3
:class: dropdown

"15 %".
With more gaps there is less to go by for each.
That is why a model that was trained at 30 % is measured at 15 %.
````
''')
code('ex3','''
answer = ...  # your answer
_ = exercises.check_choice(
    answer, "DIGEST3", salt="08.3", options=["15 %", "30 %", "they are equal"]
)
''')
md('ex4t','''
````{exercise} Hide whole words
:label: exercise-08-4

If *Lis* of *Lis ##bon* is hidden and *##bon* isn't, the gap is easy.
*Whole-word masking* chooses words, with all their pieces.
Write a function that takes a list of pieces and a set of chosen *word* numbers, counted from 0, and returns a list of booleans, True for each piece of a chosen word.
Pieces that go on a word begin with `##`.
````

````{solution} exercise-08-4
:label: solution-08-4
:class: dropdown

```python
def whole_words(pieces, chosen):
    marks, word = [], -1
    for piece in pieces:
        if not piece.startswith("##"):
            word += 1
        marks.append(word in chosen)
    return marks
```

A fast tokenizer's `word_ids()` gives the word numbers too.
````
''')
code('ex4','''
def whole_words(pieces, chosen):
    raise NotImplementedError  # your code


def by_joining(pieces, chosen):
    words = " ".join(pieces).replace(" ##", "##").split()
    return [i in chosen for i, word in enumerate(words) for _ in word.split("##")]


cases = [
    (["the", "strike", "##r", "scored"], {1}),
    (["lis", "##bon"], {0}),
    (["a", "b", "c"], set()),
    (tokenizer.tokenize("A hat-trick in Lisbon, again"), {0, 2, 4}),
]
_ = exercises.check_function(whole_words, by_joining, cases)
''')
md('ex5t','''
````{exercise} A better place for the gap
:label: exercise-08-5

Take a sentence of your own, hide each of its words in turn, and look at the probability that the model gives to the right piece.
Which words are easy, and why?
````

````{solution} exercise-08-5
:label: solution-08-5
:class: dropdown

```python
ids = tokenizer("The company said profits rose by 20 per cent.", return_tensors="pt")["input_ids"]
for t in range(1, ids.shape[1] - 1):
    seen = ids.clone()
    seen[0, t] = MASK
    with torch.inference_mode():
        p = mlm(seen.to(device)).logits[0, t].softmax(-1)[ids[0, t]].item()
    print(f"{tokenizer.convert_ids_to_tokens(ids[0, t].item()):12} {p:.3f}")
```

Function words and fixed phrases (*per cent*) are easy: their neighbours decide.
Content words need to know what the sentence is about.
````
''')
code('ex5','''
# Your code: `tokenizer`, `mlm` and `MASK` are defined above.
''')
md('summary','SUMMARY')
import json,hashlib
setup=[c for c in nbformat.read('/work/main/notebooks/11-text-classification.ipynb',4).cells if 'google.colab' in c.source][0].source
for c in cells:
    if c.source=='SETUP': c.source=setup
import os
sub=json.load(open('/tmp/dev08/sub.json')) if os.path.exists('/tmp/dev08/sub.json') else {}
for c in cells:
    for k,v in sub.items(): c.source=c.source.replace(k,v)
    m=c.metadata.get('mystnb')
    if m:
        for k,v in sub.items():
            m['image']['alt']=m['image']['alt'].replace(k,v); m['figure']['caption']=m['figure']['caption'].replace(k,v)
nb=new_notebook(cells=cells,metadata={"kernelspec":{"display_name":"Python 3 (ipykernel)","language":"python","name":"python3"},"language_info":nbformat.read('/work/main/notebooks/11-text-classification.ipynb',4).metadata['language_info']})
nb.metadata=nbformat.read('/work/main/notebooks/11-text-classification.ipynb',4).metadata
nb.nbformat_minor=5
nbformat.write(nb,sys.argv[1] if len(sys.argv)>1 else '/work/main/notebooks/08-masked-language-modelling.ipynb')
