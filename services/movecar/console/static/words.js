// Every code of the API in the words people use. tests/web holds this file against the server's own lists.

export const STATUSES = {
  looking_up: "查询车主",
  calling: "呼叫中",
  notified: "已通知",
  attention: "待处理",
  escalated: "已转110",
  handed_over: "已移交",
  closed: "已结案",
  cancelled: "已撤销",
};

export const CASE_OUTCOMES = {
  moved: "已挪开",
  no_complaint: "未再反映",
  disputed: "车主有异议",
  refused: "车主不挪",
  unreachable: "联系不上车主",
  not_found: "查不到车辆",
  withdrawn: "来电人撤销",
  handled_by_110: "110已处置",
};

export const MODES = {
  notice: "语音通知，车主按键答复",
  bridge: "问候后接通本坐席",
};

export const ATTENTION_REASONS = {
  not_found: "查不到该车，请核对车牌",
  ambiguous_color: "同号有多辆车，请向来电人问清车牌颜色",
  special_plate: "军警号牌不可查询，请人工处理",
  registry_unavailable: "车辆查询平台暂不可用",
  no_numbers: "没有可以拨打的车主电话",
  wanted_operator: "车主要求转人工",
  call_withheld: "呼叫被保护规则拦下",
  call_failed: "呼叫失败",
  call_unknown: "呼叫结果不明，请核实后再决定是否重拨",
};

export const ATTEMPT_STATES = {
  queued: "待拨",
  dialing: "拨号中",
  ringing: "振铃中",
  answered: "通话中",
  ended: "已结束",
};

export const ATTEMPT_OUTCOMES = {
  agreed: "同意挪车",
  disputed: "有异议",
  refused: "无法挪车",
  wanted_operator: "要求转人工",
  no_input: "接听未按键",
  hung_up: "接听后挂断",
  busy: "占线",
  no_answer: "无人接听",
  declined: "拒接",
  unallocated: "空号",
  congestion: "线路忙",
  failed: "呼叫失败",
  withheld: "未拨打",
  unknown: "结果不明",
};

// Why the guard kept a call back, and what a person can do about it.
export const WITHHELD_REASONS = {
  owner_declined_machine: "车主要求不用自动呼叫，请转110或由人工联系",
  outside_calling_hours: "不在允许呼叫的时段，请转110或稍后重拨",
  number_limit: "该号码呼叫次数已到上限，请转110",
  owner_limit: "该车主呼叫次数已到上限，请转110",
  operator_limit: "本坐席呼叫次数已到上限，请报告班长",
  service_limit: "全部呼叫已到上限，请稍后重拨",
};

export const ESCALATION_REASONS = {
  dispute: "纠纷未解决",
  emergency_help: "紧急求助",
  emergency_lane: "占用应急通道",
  traffic_violation: "交通违法",
  owner_uncooperative: "车主拒不挪车",
  authority_questioned: "质疑处理权限",
  unreachable: "联系不上车主",
  vehicle_not_found: "查不到车辆",
  registry_unavailable: "查询平台故障",
};

export const ESCALATION_STATUSES = {
  raised: "未签收",
  acknowledged: "已签收",
  disposed: "已处置",
  withdrawn: "已撤回",
};

export const DISPOSITIONS = {
  moved: "车辆已移走",
  towed: "车辆已拖离",
  penalised: "已依法处罚",
  settled: "纠纷已调解",
  false_report: "情况不实",
  no_action: "无需处置",
  other: "其他",
};

export const TRIGGERS = {
  opened: "建案",
  joined: "再次来电并入",
  found: "查到车主，开始呼叫",
  lookup_failed: "查询未果",
  agreed: "车主同意挪车",
  disputed: "车主有异议",
  refused: "车主无法挪车",
  exhausted: "多次呼叫未果",
  call_needs_person: "呼叫需人工处理",
  contact_concluded_late: "呼叫结果迟到，仅备案",
  owner_agreed: "电话答复：同意挪车",
  owner_disputed: "电话答复：有异议",
  owner_refused: "电话答复：无法挪车",
  moved: "确认已挪开",
  grace_over: "等候期满，自动结案",
  still_blocked: "仍被堵，再次呼叫",
  still_blocked_again: "仍被堵，转110",
  plate_corrected: "更正车牌",
  redialled: "重拨",
  deadline_passed: "超过时限",
  escalated_by_operator: "坐席转110",
  acknowledged: "110签收",
  disposed: "110处置完毕",
  desk_answered_late: "110答复迟到，仅备案",
  withdrawn: "撤销",
  machine_calls_declined: "车主要求不用自动呼叫",
  machine_calls_allowed: "恢复自动呼叫",
};

export const LOOKUP_RESULTS = {
  ambiguous: "同号有多辆车",
  unavailable: "查询平台无应答",
  not_found: "查不到该车",
};

export const CONTACT_OUTCOMES = {
  exhausted: "全部号码均未联系上",
  no_numbers: "没有可拨的号码",
  bridged: "已与坐席通话",
  seat_unavailable: "坐席未接听",
};

export const REASONS = {
  ...CASE_OUTCOMES,
  ...ATTEMPT_OUTCOMES,
  ...WITHHELD_REASONS,
  ...CONTACT_OUTCOMES,
  ...LOOKUP_RESULTS,
  ...DISPOSITIONS,
  ...ESCALATION_REASONS,
  ...ATTENTION_REASONS,
};

export const COLORS = {
  blue: "蓝牌",
  yellow: "黄牌",
  green: "绿牌",
  yellow_green: "黄绿牌",
  white: "白牌",
  black: "黑牌",
};

export const ROLES = {
  operator: "坐席",
  supervisor: "班长",
  desk: "110接警台",
  auditor: "审计",
  admin: "管理员",
};

// A newer server may send a code this page does not know yet: show it rather than nothing.
export function say(words, code) {
  return words[code] ?? code ?? "";
}

export function actor(name) {
  return name === "system" ? "系统" : name;
}
