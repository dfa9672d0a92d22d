// A formula or table that is wider than the screen scrolls inside itself. Let the keyboard reach it.
function markScrollable() {
  for (const box of document.querySelectorAll("article div.math, article .text_html")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

addEventListener("load", markScrollable);
addEventListener("resize", markScrollable);
