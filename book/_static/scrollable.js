// What is wider than the screen scrolls inside itself, and fades where it goes on (book.css). The
// keyboard reaches every box that may be so, until the box comes near and is measured: to measure
// all of them at once would lay out the page.
const BOXES = ["div.math", ".text_html", "pre", ".cell_output > .output", ".pst-scrollable-table-container"];

function look(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  if (hidden > 0) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
  box.classList.toggle("goes-on", hidden - box.scrollLeft > 2);
}

const measure = new ResizeObserver((entries) => entries.forEach(({ target }) => look(target)));
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries)
    isIntersecting ? measure.observe(target) : measure.unobserve(target);
}, { rootMargin: "50%" });

for (const box of document.querySelectorAll(BOXES.map((each) => `article ${each}`))) {
  box.tabIndex = 0;
  box.addEventListener("scroll", () => look(box), { passive: true });
  near.observe(box);
}
