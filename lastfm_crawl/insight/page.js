// One tab stop a chart; arrow keys, Home and End go from bar to bar, and the line below says what it is.
for (const figure of document.querySelectorAll("figure.bars")) {
  const readout = figure.querySelector(".readout");
  for (const chart of figure.querySelectorAll("svg")) {
    const slots = [...chart.querySelectorAll(".slot")];
    slots[0].setAttribute("tabindex", "0");
    const tell = (event) => {
      const slot = event.target.closest(".slot");
      if (slot) readout.textContent = slot.getAttribute("aria-label");
    };
    chart.addEventListener("pointerover", tell);
    chart.addEventListener("focusin", tell);
    chart.addEventListener("keydown", (event) => {
      const at = slots.indexOf(event.target);
      const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: slots.length - 1}[event.key];
      if (at < 0 || !slots[to]) return;
      event.preventDefault();
      slots[at].setAttribute("tabindex", "-1");
      slots[to].setAttribute("tabindex", "0");
      slots[to].focus();
    });
  }
}
