/* Shows a deck once its formulas and pictures stand and each slide has room for what it holds. */
(async () => {
  const reveal = document.querySelector(".reveal");
  const WIDTH = 1280, HEIGHT = 720, SMALLEST = 0.6;

  /* Smaller type on a slide that is too full. */
  function fit(card) {
    for (let size = 1; size >= SMALLEST - 0.001; size -= 0.05) {
      card.style.fontSize = `${size}em`;
      if (card.scrollHeight <= HEIGHT && card.scrollWidth <= WIDTH) return;
    }
  }

  await MathJax.startup.promise;
  await document.fonts.ready;
  await Promise.allSettled([...document.images].map((image) => image.decode()));
  document.querySelectorAll(".card").forEach(fit);
  reveal.classList.remove("measuring");
  await Reveal.initialize({
    width: WIDTH,
    height: HEIGHT,
    margin: 0,
    center: false,
    hash: true,
    slideNumber: "c/t",
    transition: "none",
    plugins: [RevealNotes],
  });
})();
