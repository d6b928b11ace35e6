/* The sheet with the contents of the page closes when a link in it is followed: the theme leaves it
open, over the place that the reader has asked for. */
document.addEventListener("click", (event) => {
  const sheet = event.target.closest("dialog.bd-sidebar-secondary");
  if (sheet && event.target.closest("a[href^='#']")) sheet.close();
});
