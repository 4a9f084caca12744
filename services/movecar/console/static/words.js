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

export const PRIORITIES = {
  emergency: "特急",
  high: "紧急",
  normal: "一般",
};

export const CHAIN_STEPS = {
  remind: "屏幕提醒",
  call: "电话催办",
  supervisor: "已报班长",
  raise_again: "重新上报",
};

export const DESK_CALL_OUTCOMES = {
  acknowledged: "已按键签收",
  not_confirmed: "接听后未按键",
  busy: "占线",
  no_answer: "无人接听",
  failed: "未能接通",
  unknown: "结果不明",
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
  desk_reminded: "110未签收，屏幕提醒",
  desk_called: "110未签收，电话催办",
  supervisor_alerted: "110未签收，已报班长",
  desk_not_disposed: "110逾期未处置，重新上报",
  hand_over_asked: "请110加入通话",
  hand_over_ended: "转接110通话",
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

export const HAND_OVER_OUTCOMES = {
  acknowledged: "110已加入通话",
  not_confirmed: "110接听后未加入",
  busy: "占线",
  no_answer: "无人接听",
  failed: "未能接通",
  unknown: "结果不明",
};

export const REASONS = {
  ...HAND_OVER_OUTCOMES,
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

export const PLATE_KINDS = {
  ordinary: "普通号牌",
  new_energy_small: "小型新能源",
  new_energy_large: "大型新能源",
  police: "警车",
  training: "教练车",
  trailer: "挂车",
  hong_kong: "港车",
  macao: "澳车",
  embassy: "使馆车",
  consulate: "领馆车",
  emergency: "应急救援车",
  military: "军车",
  armed_police: "武警车",
};

export const COMPONENTS = {
  movecar: "挪车受理服务",
  outbound: "外呼服务",
  escalation: "110通知服务",
  database: "数据库",
  redis: "消息总线",
  pbx: "电话交换机",
  trunk: "电话中继线路",
  registry: "车辆登记信息查询",
  disk: "磁盘（无法写入）",
  operators: "坐席",
  calls_stopped: "呼叫车主",
  disk_low: "磁盘空间",
  trunks_out: "部分电话中继线路",
  clock: "系统时钟",
  certificate: "安全证书",
  certificate_expired: "安全证书有效期",
  calls: "呼叫成功率",
  recordings: "通话录音",
  unanswered: "移交110的事件",
  peer: "双机对端",
};

export const FAULT_STATUSES = {
  open: "故障中",
  recovered: "已恢复",
};

export const FAULT_SOURCES = {
  probe: "自动检测",
  person: "人工登记",
  incident: "异常转入",
  gap: "监测中断",
};

export const AUDIENCES = {
  desk: "110接警台",
  supervisor: "班长",
  drill: "演练",
};

export const NOTICE_KINDS = {
  fault: "故障通知",
  recovery: "恢复通知",
  overrun: "维护超时通知",
  announcement: "维护公告",
  alarm_10: "10分钟告警",
  alarm_20: "20分钟告警",
};

export const NOTICE_STATUSES = {
  pending: "待送达",
  late: "逾期未送达",
  delivered: "按时送达",
  delivered_late: "逾期送达",
  superseded: "已由其他方式送达",
  void: "不再需要",
};

// The two machines that tell the desk.
export const MACHINES = {
  active: "主机",
  standby: "备机",
};

// How a person gives a notice.
export const GIVEN_BY = {
  phone: "电话",
  radio: "对讲",
  in_person: "当面",
};

export const CHANNELS = {
  ...GIVEN_BY,
  feed: "接警台页面",
  push: "接警系统推送",
  drill_push: "演练推送",
  email: "邮件",
  supervisor_email: "班长邮件",
  drill_email: "演练邮件",
  sms: "短信",
  supervisor_sms: "班长短信",
  drill_sms: "演练短信",
  desk_call: "接警台电话",
};

export const CLAUSE_STATUSES = {
  ok: "履行中",
  warning: "需注意",
  breached: "已违约",
  no_evidence: "暂无证据",
};

export const RECORDING_FAULTS = {
  empty: "没有声音",
  no_wav: "不是录音文件",
  format: "格式不符",
  length: "长度与通话不符",
};

export const INCIDENT_KINDS = {
  call_without_attempt: "交换机呼出，本系统无记录",
  called_twice: "同一次拨号呼出两次",
  called_undialled: "未拨号却有呼出",
  attempt_without_case: "拨号没有对应案件",
  attempt_without_call_record: "拨号没有交换机话单",
  answered_without_recording: "接通却没有录音",
  disposition_differs: "接通与否不一致",
  duration_differs: "通话时长不一致",
  unknown_call: "呼叫结果不明",
  call_record_unreadable: "话单无法读取",
  call_records_unavailable: "话单文件取不到",
  call_records_lost: "话单丢失",
  recording_missing: "录音缺失",
  recording_damaged: "录音损坏",
  recordings_stalled: "录音无法入库",
  recording_foreign: "录音目录里有不明文件",
  night_spike: "夜间呼叫异常增多",
  call_spike: "呼叫异常增多",
  toll_fraud: "疑似盗打",
  trunk_out: "中继停用",
};

export const INCIDENT_DETAILS = {
  calls: "呼叫数",
  most: "上限",
  numbers: "号码数",
  unallocated: "空号数",
  usual: "平日",
  operator: "坐席",
  node: "交换机",
  error: "错误",
  reason: "原因",
  fault: "问题",
  size: "字节",
  call_seconds: "通话秒数",
  dialed_at: "拨出时间",
};

export const TRUNK_STATES = {
  in_service: "正常",
  suspect: "有疑，逐个试拨",
  out: "停用",
  probing: "恢复试拨中",
};

export const LINE_PROBLEMS = {
  not_started: "尚未接通",
  events_missed: "正在补查错过的通话",
  invite_unanswered: "呼出无应答",
  no_channel: "没有可用通道",
};

export const SCRIPT_STATUSES = {
  draft: "待批准",
  scheduled: "待生效",
  in_force: "使用中",
  superseded: "已停用",
  rejected: "已驳回",
  withdrawn: "已撤回",
};

export const SCRIPT_ACTIONS = {
  filed: "随合同备案",
  drafted: "起草",
  approved: "批准",
  rejected: "驳回",
  withdrawn: "撤回",
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

const ACTORS = { system: "系统", contract: "合同", signatories: "合同双方", "desk-line": "电话按键" };

export function actor(name) {
  return ACTORS[name] ?? name;
}
