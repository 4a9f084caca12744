// Finding recordings, listening to them and taking one along. Every search and every listening is noted.

import { downloadLink, listening } from "./audio.js";
import { Field, input, moment } from "./form.js";
import { listPage } from "./list.js";
import { full, shanghai, span } from "./time.js";
import { RECORDING_FAULTS, say } from "./words.js";

export function recordingsPage() {
  const text = (name, label, attributes) =>
    new Field({ name, label, optional: true, control: input({ maxlength: 40, ...attributes }) });
  return listPage({
    label: "查询录音",
    path: "/recordings",
    fields: [
      text("case", "案件号", { placeholder: "YC20260401000001" }),
      new Field({ name: "from", label: "从", optional: true, control: moment() }),
      new Field({ name: "to", label: "到", optional: true, control: moment() }),
      text("operator", "坐席账号"),
      text("number", "被叫号码", { inputmode: "tel" }),
    ],
    query: (values) => ({
      ...values,
      case: values.case.toUpperCase().startsWith("YC") ? values.case.toUpperCase() : values.case,
      from: shanghai(values.from),
      to: shanghai(values.to),
    }),
    columns: ["开始", "时长", "案件号", "坐席", "文件", "收听", "下载"],
    cells: (item) => [
      full(item.started_at),
      span(item.seconds * 1000),
      item.case_number,
      item.operator,
      item.fault ? say(RECORDING_FAULTS, item.fault) : "完好",
      listening(item.id, { title: `${item.case_number} ${full(item.started_at)}` }),
      downloadLink(item.id, `${item.case_number}-${full(item.started_at).replace(/[^0-9]/g, "")}`),
    ],
    nothing: "没有符合条件的录音，可减少条件后再查。",
  });
}
