// A named slider with a number beside it: native inputs work with keyboards and screen readers.
function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = model.get("style");
  const root = document.createElement("div");
  root.className = "wv slider";
  const name = document.createElement("label"), range = document.createElement("input"), number = range.cloneNode();
  const words = document.createElement("span");
  words.textContent = model.get("label");
  name.append(words, range);
  number.setAttribute("aria-label", `${model.get("label")}, as a number`);
  range.type = "range";
  range.dataset.lmSuppressShortcuts = "true";   // JupyterLab would take the arrow keys
  number.type = "number";
  for (const input of [range, number]) {
    for (const [key, trait] of [["min", "minimum"], ["max", "maximum"], ["step", "step"]]) input[key] = model.get(trait);
    input.disabled = model.get("disabled");
    input.oninput = () => { (input === range ? number : range).value = input.value; };
    input.onchange = () => {
      const value = Math.min(Math.max(Number(input.value), model.get("minimum")), model.get("maximum"));
      model.set("value", value);
      model.save_changes();
      show();
    };
  }
  root.append(name, number);
  el.append(style, root);

  const show = () => { range.value = number.value = model.get("value"); };
  model.on("change:value", show);
  show();
  return () => model.off("change:value", show);
}

export default { render };
