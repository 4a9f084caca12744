// A plate drawn in its colour, as it looks in the street.

import { h, setText } from "./dom.js";

const NEW_ENERGY_LENGTH = 8;

export function plateBadge(item) {
  const element = h("span", { class: "plate" });
  const update = ({ plate, plate_color: color }) => {
    setText(element, plate);
    // Until the registry has said, the length tells a new-energy plate from the rest.
    element.dataset.color = color ?? (plate.length === NEW_ENERGY_LENGTH ? "green" : "blue");
  };
  update(item);
  return { element, update };
}
