/* Whether a training fits: the formulas of helpers/training/memory.py, in chapter 16. */
(() => {
  const { h, field, slider, choice, status, piece } = bookLive;
  const GIB = 2 ** 30;
  const LEFT = 2; // gigabytes for CUDA and for gaps
  // Kind, layers, width, features inside the feed-forward layer, vocabulary; and of a Llama the
  // share of key heads, and whether its two tables are one.
  const MODELS = {
    "MiniLM, classifier": ["bert", 6, 384, 1536, 30522],
    "BERT-base, classifier": ["bert", 12, 768, 3072, 30522],
    "BERT-large, classifier": ["bert", 24, 1024, 4096, 30522],
    "SmolLM2-135M, causal": ["llama", 30, 576, 1536, 49152, 1 / 3, true],
    "Llama-like 1.3 B, causal": ["llama", 24, 2048, 5504, 32000],
    "Llama-2 7 B, causal": ["llama", 32, 4096, 11008, 32000],
  };
  const SIZES = { Layers: 200, Width: 20000, "Feed-forward features": 100000, Vocabulary: 1000000 };
  const SEQUENCES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024];
  const LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];
  const PRECISIONS = ["bf16", "fp16", "fp32"];
  const TRAINED = [1, 0.01];
  const GPUS = [8, 16, 24, 40, 80, 141];

  /* As Python rounds: a half goes to the even number. */
  function round(x) {
    const low = Math.floor(x);
    return x - low === 0.5 ? low + (low % 2) : Math.round(x);
  }

  /* The sizes that memory depends on, of transformers' BERT with two classes or of its Llama. */
  function network(kind, layers, width, inner, vocabulary, keyShare = 1, tied = false) {
    const table = vocabulary * width;
    if (kind === "bert") {
      const embeddings = table + (512 + 2) * width;
      const layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width;
      const head = width * (width + 1) + 2 * (width + 1);
      const parameters = embeddings + 2 * width + layers * layer + head;
      return { parameters, embeddings, layers, width, inner, vocabulary, gated: false, keyShare };
    }
    const keys = round(width * keyShare);
    const layer = 2 * width * width + 2 * width * keys + 3 * width * inner + 2 * width;
    const parameters = (tied ? 1 : 2) * table + layers * layer + width;
    return { parameters, embeddings: table, layers, width, inner, vocabulary, gated: true, keyShare };
  }

  /* Bytes that one layer keeps of one token. */
  function layerBytes({ width: d, inner, gated, keyShare }, size) {
    const f = inner / d;
    if (gated) return round(d * (size * (5 + 3 * keyShare + 4 * f) + 8));
    return round(d * (size * (6 + 2 * f) + 8 + 2));
  }

  /* The memory of an update with AdamW, in bytes, by what it is for. */
  function trainingMemory(net, sequences, length, settings) {
    const { precision, scored, checkpointing, accumulated, trained = net.parameters } = settings;
    const d = net.width, tokens = sequences * length, size = precision === "fp32" ? 4 : 2;
    const layer = tokens * layerBytes(net, size);
    const layers = checkpointing ? net.layers * tokens * d * 4 + layer : net.layers * layer;
    const scores = round(tokens * scored) * (net.vocabulary * (size + 8) + d * (2 * size + 8));
    const found = {
      weights: 4 * net.parameters,
      optimizer: 8 * trained,
      gradients: 4 * trained,
      copies: size === 4 ? 0 : 2 * (net.parameters - (scored ? 0 : net.embeddings)),
      activations: layers + tokens * d * (size + 4) + scores,
    };
    const rest = found.weights + found.optimizer;
    const begins = rest + found.copies + found.activations;
    const ends = rest + found.gradients;
    const peak = accumulated ? begins + found.gradients : Math.max(begins, ends);
    return { ...found, peak, atTheEnd: !accumulated && ends > begins };
  }

  /* How many sequences fit into a number of bytes at once. */
  function largestBatch(net, memory, length, settings) {
    let fits = 0;
    for (let step = 2 ** 20; step >= 1; step /= 2)
      if (trainingMemory(net, fits + step, length, settings).peak <= memory) fits += step;
    return fits;
  }

  piece("memory", () => {
    const change = () => changed();
    const model = choice("Model", Object.keys(MODELS), () => (fill(), changed()));
    const sizes = Object.entries(SIZES).map(([name, max]) => {
      const input = h("input", { type: "number", min: 1, max, step: 1, input: change });
      return { name, max, input, element: field(name, input) };
    });
    const sequences = slider("Sequences at once", SEQUENCES, 8, String, change);
    const length = slider("Pieces in each", LENGTHS, 512, (n) => n.toLocaleString("en"), change);
    const precision = choice("Precision", ["mixed, bf16", "mixed, fp16", "fp32"], change);
    const trained = choice("Trained", ["all weights", "1 % of the weights, as with LoRA"], change);
    const checkpointing = h("input", { type: "checkbox", change });
    const accumulated = h("input", { type: "checkbox", change });
    const gpu = choice("Memory of the GPU", GPUS.map((size) => `${size} GB`), change);
    const told = status("");
    const result = h("div", { class: "live-result" });

    function fill() {
      const [, ...found] = Object.values(MODELS)[model.value()];
      sizes.forEach(({ input }, number) => (input.value = found[number]));
    }

    /* Draw the table; return in words what it comes to. */
    function show() {
      for (const { input } of sizes) input.removeAttribute("aria-invalid");
      const wrong = sizes.find(({ input }) => !input.value || !input.checkValidity());
      if (wrong) {
        wrong.input.setAttribute("aria-invalid", "true");
        result.replaceChildren();
        return `${wrong.name}: a whole number from 1 to ${wrong.max.toLocaleString("en")}.`;
      }
      const [kind, , , , , ...more] = Object.values(MODELS)[model.value()];
      const net = network(kind, ...sizes.map(({ input }) => input.valueAsNumber), ...more);
      const settings = {
        precision: PRECISIONS[precision.value()],
        scored: kind === "bert" ? 0 : 1, // a causal model scores the vocabulary at each piece
        checkpointing: checkpointing.checked,
        accumulated: accumulated.checked,
        trained: round(TRAINED[trained.value()] * net.parameters),
      };
      const found = trainingMemory(net, sequences.value(), length.value(), settings);
      const gib = (bytes) => (bytes / GIB).toFixed(2);
      const row = (name, bytes) => h("tr", {},
        h("th", { scope: "row" }, name),
        h("td", {}, gib(bytes)),
        h("td", { class: "live-bar", "aria-hidden": "true" },
          h("span", { style: `--share: ${Math.min(1, bytes / found.peak)}` })));
      const head = h("tr", {}, h("th", { scope: "col" }, "for"), h("th", { scope: "col" }, "GiB"),
        h("td", { "aria-hidden": "true" }));
      const millions = Math.round(net.parameters / 1e6).toLocaleString("en");
      const caption = h("caption", {}, `An update of ${millions} million weights with AdamW. `,
        accumulated.checked
          ? "All of it is there when a later backward pass begins: the peak is the sum."
          : "Not all of it is there at once: the peak is less than the sum.");
      result.replaceChildren(h("table", { class: "live-next" }, caption, h("thead", {}, head),
        h("tbody", {},
          row("weights", found.weights),
          row("AdamW's two moments", found.optimizer),
          row("gradient", found.gradients),
          row("half-precision copies", found.copies),
          row("activations", found.activations),
          row("peak", found.peak))));
      const room = GPUS[gpu.value()];
      const most = largestBatch(net, (room - LEFT) * GIB, length.value(), settings);
      const fit = most
        ? `up to ${most.toLocaleString("en")} such ${most === 1 ? "sequence fits" : "sequences fit"} at once`
        : "not even one such sequence fits";
      return `${gib(found.peak)} GiB at the peak, when the backward pass `
        + `${found.atTheEnd ? "ends" : "begins"}. On ${room} GB, with ${LEFT} left for CUDA `
        + `and gaps, ${fit}.`;
    }

    const changed = () => told.say(show());
    gpu.element.querySelector("select").value = GPUS.indexOf(16);
    fill();
    told.element.append(show());
    return [model.element, ...sizes.map(({ element }) => element), sequences.element,
      length.element, precision.element, trained.element,
      field("Activation checkpointing", checkpointing),
      field("Several forward passes an update", accumulated), gpu.element, told.element, result];
  });

  Object.assign(bookLive, { memoryModels: MODELS, network, trainingMemory, largestBatch });
})();
