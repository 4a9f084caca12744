// Opening a case: three fields and Enter.

import { submit } from "./api.js";
import { offerSuggestion, plateField } from "./actions.js";
import { h, setText } from "./dom.js";
import { Field, Form, input, plain, select } from "./form.js";
import { when } from "./time.js";
import { COLORS, MODES } from "./words.js";

const SITUATIONS = ["堵住车库出入口", "堵住小区通道", "前车挡住无法驶出", "占用消防通道", "占用他人车位"];
const PROVINCE = /[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使]/;

// `opened(case)` is called with every case opened or joined.
export function entryForm({ prefix, opened }) {
  const plate = plateField({ value: prefix, enterkeyhint: "next" });
  for (const type of ["input", "compositionend"]) {
    plate.control.addEventListener(type, (event) => event.isComposing || takeOver(plate.control, prefix));
  }
  // Type on after the prefix, however the field was reached: Tab would select it, and focus() goes before it.
  plate.control.addEventListener("focus", () => {
    if (plate.value === prefix) plate.control.setSelectionRange(prefix.length, prefix.length);
  });
  const location = new Field({
    name: "location",
    label: "位置",
    control: input({ maxlength: 200, placeholder: "如：湖塘镇花园街12号门口" }),
  });
  const phone = new Field({
    name: "requester_phone",
    label: "来电号码",
    control: input({ maxlength: 32, inputmode: "tel" }),
  });
  const color = new Field({
    name: "plate_color",
    label: "车牌颜色",
    optional: true,
    control: select(COLORS, "不确定"),
  });
  const situation = new Field({
    name: "situation",
    label: "情况",
    optional: true,
    control: input({ maxlength: 200, list: "situations" }),
  });
  const mode = new Field({
    name: "mode",
    label: "呼叫方式",
    optional: true,
    control: select({ bridge: MODES.bridge }, MODES.notice),
  });
  const note = new Field({ name: "note", label: "备注", optional: true, control: input({ maxlength: 1000 }) });
  const fields = [plate, location, phone, color, situation, note, mode];
  const result = h("p", { class: "result", role: "status" });

  function reset() {
    for (const field of fields) field.value = "";
    plate.value = prefix;
    plate.focus();
  }

  const form = new Form({
    fields,
    button: "建案并呼叫车主",
    // A second Enter, or a double click that outlasted a fast answer, asks for nothing new.
    untouched: () => fields.every((field) => !field.value || (field === plate && field.value === prefix)),
    refused: (problem) => offerSuggestion(plate, problem),
    missing: {
      plate: "请输入车牌号",
      location: "请输入车辆所在位置，110处置时也要用",
      requester_phone: "请输入来电人的号码，固定电话请加区号",
    },
    send: async (values) => {
      setText(result, "");
      const { data } = await submit("/cases", {
        plate: values.plate,
        location: plain(values.location),
        requester_phone: values.requester_phone,
        plate_color: values.plate_color || null,
        situation: plain(values.situation),
        note: plain(values.note),
        mode: values.mode || "notice",
      });
      result.classList.toggle("joined", data.joined);
      setText(
        result,
        data.joined
          ? `该车已有未结案件（${data.operator} ${when(data.created_at)} 建案），本次来电已并入，不会重复呼叫车主。`
          : `已建案 ${data.number}，正在查询车主并呼叫。`,
      );
      reset();
      opened(data);
    },
  });

  return {
    element: h(
      "section",
      { class: "entry", "aria-labelledby": "entry-title" },
      h("h2", { id: "entry-title" }, "登记来电"),
      form.element,
      result,
      h("datalist", { id: "situations" }, ...SITUATIONS.map((text) => h("option", { value: text }))),
      h("p", { class: "keys" }, h("kbd", {}, "回车"), " 建案　", h("kbd", {}, "F2"), " 回到车牌"),
    ),
    focus: () => plate.focus(),
  };
}

// The field begins with the local prefix. Whoever types or pastes a whole plate after it means that plate.
function takeOver(control, prefix) {
  const rest = control.value.slice(prefix.length);
  if (control.value.startsWith(prefix) && PROVINCE.test(rest[0] ?? "")) control.value = rest;
}
