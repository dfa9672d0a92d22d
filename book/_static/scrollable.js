// What is wider than the screen scrolls inside itself. The keyboard reaches every box that may be,
// until the box comes near and is measured: to measure all of them at once would lay out the page.
const BOXES = ["div.math", ".text_html", "pre", ".cell_output > .output", ".pst-scrollable-table-container"];

const measure = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries)
    isIntersecting ? measure.observe(target) : measure.unobserve(target);
}, { rootMargin: "50%" });

for (const box of document.querySelectorAll(BOXES.map((each) => `article ${each}`))) {
  box.tabIndex = 0;
  near.observe(box);
}
