import json,sys
sys.path.insert(0,'/work/main')
S={}
S['RECIPETABLE']='''
# NBVAL_CHECK_OUTPUT
with open("results/08-recipe.json", encoding="utf-8") as file:
    recipe = json.load(file)
speed = {
    name: int(np.median([row["tokens_per_second"] for row in rows]))
    for name, rows in recipe["speed"].items()
}
runs = pd.DataFrame(recipe["runs"])
ten = runs[runs["minutes"] == 10].copy()
ten["pieces/s"] = ten["name"].map(speed)
ten = ten.rename(columns={"blocks": "held out, blocks", "lines": "held out, lines"})
columns = ["name", "rate", "pieces/s", "steps", "parameters", "held out, blocks", "held out, lines"]
plain = ten[ten["name"] == "plain"]
best = ten[ten["name"] == "recipe"]
for kind in ("held out, blocks", "held out, lines"):
    assert best[kind].max() < plain[plain["rate"] == 5e-5][kind].min() - 0.7
    assert best[kind].max() < plain[kind].min()
assert speed["recipe"] > 2 * speed["plain"]
print(f"pieces/s: {speed['recipe'] / speed['plain']:.1f} times the plain one's")
ten.sort_values(["name", "rate"])[columns].round(3).style.hide()
'''
json.dump(S,open('/tmp/dev08/sub.json','w'))
S['NSPCODE']='''
# NBVAL_CHECK_OUTPUT
nsp = pd.read_json("results/08-nsp.json")
NSPBODY
'''
S['BUYSCODE']='''
few = pd.read_json("results/08-few-labels.json")
fig, ax = plt.subplots(figsize=(5.8, 3.6))
for name in ("MiniLM", "TF-IDF", "MLM", "untrained"):
    group = few[few["model"] == name].groupby("per_class")["accuracy"]
    mean, low, high = group.mean(), group.min(), group.max()
    mean = mean.clip(low, high)  # rounding must not push it out of the band
    plots.curve_with_interval(mean.index, mean, low, high, name, ax=ax, log_x=True)
ax.set(xlabel="labelled articles of each class", ylabel="test accuracy", ylim=(0.15, 1.0))
_ = ax.legend()
'''
json.dump(S,open('/tmp/dev08/sub.json','w'))
S['NSPTEXT']='''
## Next-sentence prediction

BERT had a second objective.
Half of its training inputs were two consecutive stretches of a document, *A* and *B*, and in the other half *B* came from another document; a classifier on the vector at [CLS] had to say which {cite:p}`devlin2019bert`.
The two losses were added:

$$
\\mathcal{L} = \\mathcal{L}_\\text{MLM} - \\frac1B \\sum_{i=1}^{B} \\log p_\\theta(y_i \\mid \\mathbf{h}^{(i)}_{[\\text{CLS}]}), \\qquad y_i \\in \\{\\text{next}, \\text{random}\\}.
$$ (eq-08-nsp)

The hope was that tasks with two sentences would profit.
{cite:t}`liu2019roberta` trained with and without it and found that leaving it out does no harm, provided the inputs are long stretches of text; RoBERTa dropped it.
{cite:t}`lan2020albert` explained why it is weak: to tell a random *B* from the next one, it is enough to notice another *topic*, which the masked pieces teach anyway.

(correction-12)=
:::{admonition} A common mistake: "next-sentence prediction predicts the second sentence"
:class: correction

It predicts one bit: whether *B* follows *A*.
No word of *B* is generated, and *B* needn't be a sentence; in BERT it was a stretch of text up to the length limit.
A pair from the middle of one document counts as *next*, a pair from two documents as *random*, half of each.
The cell below makes such pairs.
:::
'''
S['NSPCODE']='''
# NBVAL_CHECK_OUTPUT
def pairs_of(rows, generator):
    """Two halves of each block; in half of the pairs B is another block's: A, B, is_next."""
    middle = BLOCK // 2
    a, b = rows[:, 1:middle], rows[:, middle:-1]  # [CLS] left out
    is_next = torch.rand(len(rows), generator=generator) < 0.5
    elsewhere = (torch.arange(len(rows)) + torch.randint(1, len(rows), (len(rows),), generator=generator)) % len(rows)
    return a, torch.where(is_next[:, None], b, b[elsewhere]), is_next.long()


a, b, is_next = pairs_of(blocks["train"][:2000], torch.Generator().manual_seed(0))
print(f"{is_next.float().mean():.3f} of the pairs are consecutive")
for i in (0, 1, 2, 3):
    label = "next" if is_next[i] else "random"
    print(f"{label:6} | …{tokenizer.decode(a[i, -9:])} | {tokenizer.decode(b[i, :9])}…")
'''
json.dump(S,open('/tmp/dev08/sub.json','w'))
S['SUMMARY']='''
## Summary

- Masked language modelling asks for hidden pieces, given both sides. The loss is taken at the chosen positions alone, and so is its gradient; it isn't the probability of a text.
- 80 % [MASK], 10 % random, 10 % unchanged keeps the model from relying on a token that it will never see again. A random rule is verified by its statistics.
- Packing wastes no computation on padding, and computing logits at the masked pieces alone saves most of the head's work.
- Judge a recipe at an equal number of minutes and against a tuned opponent, and take it apart piece by piece.
- Next-sentence prediction classifies pairs; it generates nothing.
- A small model that has read a million words of the right kind is a better start than random weights.

## Further reading

- {cite:t}`devlin2019bert` is the paper; section 3.1 and appendix A have the details of both objectives.
- {cite:t}`liu2019roberta` repeat BERT's training carefully, and show that it was stopped too early.
- {cite:t}`lan2020albert` replace next-sentence prediction by the order of sentences.
- {cite:t}`wettig2023should` take the 15 % and the 80/10/10 apart.
- {cite:t}`geiping2023cramming` ask what one GPU can learn in a day, and {cite:t}`portes2023mosaicbert` and {cite:t}`warner2025smarter` what a modern encoder looks like.
'''
json.dump(S,open('/tmp/dev08/sub.json','w'))
S['RECIPETEXT']='''
RECIPEREAD

Which part of the recipe is worth how much?
The second table takes one part out at a time and gives each variant the same three minutes.
Its loss says what a variant learns in that time, and its speed says where the time went.
'''
S['ABLATION']='''
# NBVAL_CHECK_OUTPUT
three = runs[runs["minutes"] == 3].groupby("name")[["blocks", "steps"]].agg(["min", "max"])
reference = three.loc["recipe", ("blocks", "max")]
rows = {
    name: {
        "pieces/s": speed[name],
        "updates": int(row[("steps", "max")]),
        "held out": f"{row[('blocks', 'min')]:.2f} – {row[('blocks', 'max')]:.2f}",
        "against the recipe": f"{row[('blocks', 'min')] - reference:+.2f}",
    }
    for name, row in three.sort_values(("blocks", "min")).iterrows()
}
pd.DataFrame(rows).T
'''
S['BUYSTEXT']='''
## What pretraining buys

A low loss is not what we are after.
The question is whether the network has become a better start for a task with few labels.
The task is [chapter 11](#chapter-11)'s: which of five desks an article belongs to, with 5, 20 or 100 labelled articles of each class, five random choices each.
The classifier is the mean of the network's vectors and one linear layer, and all of it is fine-tuned.
Four contenders read the same labelled articles: the pretrained network, the same network with random weights, chapter 11's MiniLM, which has nine times as many parameters and was pretrained on more than a billion pairs of sentences {cite:p}`reimers2019sentence`, and TF-IDF with a linear classifier.
`scripts/chapter_08_few_labels.py` has the settings.
'''
json.dump(S,open('/tmp/dev08/sub.json','w'))
