"""Telephone numbers of the mainland: who may be called, who may ask, and how a number is shown.

`phonenumbers` alone is not enough: it finds +1-900 valid, and with an area code in front also the banks'
95588 and the citizens' 12345. Here a number is a mobile, or a fixed line with its area code; nothing else.
"""

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

_COUNTRY = 86
_MAX_INPUT = 32
_NO_SEPARATORS = {ord(character): None for character in " -()‐‑‒–—−"}
# Two-digit area codes are 10 and the twenties. A subscriber's number begins with 2 to 8; what begins with
# 1 or 9 is an emergency or service number even behind an area code (0519-110, 0519-95588, 025-12345).
_MOBILE = re.compile(r"0?(1[3-9][0-9]{9})")
_FIXED = re.compile(r"0((?:10|2[0-9]|[3-9][0-9]{2}))([2-8][0-9]{6,7})")
_SHORT = re.compile(r"(?:0(?:10|2[0-9]|[3-9][0-9]{2}))?(?:1[0-9]{1,5}|9[0-9]{2,7})")
_PAID_BY_SOMEONE = re.compile(r"0?(?:400|800)[0-9]{7}|16[08][0-9]{5,}")
_LOCAL = re.compile(r"[2-8][0-9]{6,7}")
_DIGITS = re.compile(r"\+?[0-9]+")
_SEGMENT = 5
_MOBILE_DIGITS = 11


class PhoneKind(StrEnum):
    """What a number belongs to."""

    MOBILE = "mobile"
    FIXED = "fixed"


class PhoneFault(StrEnum):
    """Why a text is no number this service deals with. The values are codes and are never renamed."""

    EMPTY = "empty"
    CHARACTER = "character"
    COUNTRY = "country"
    SHORT_CODE = "short_code"
    SERVICE = "service"
    AREA_CODE = "area_code"
    NUMBER = "number"
    OWN = "own"


_MESSAGES = {
    PhoneFault.EMPTY: "请输入电话号码",
    PhoneFault.CHARACTER: "电话号码中有不能使用的字符",
    PhoneFault.COUNTRY: "只受理中国大陆的电话号码",
    PhoneFault.SHORT_CODE: "紧急号码和服务短号不能使用",
    PhoneFault.SERVICE: "400、800和声讯号码不能使用",
    PhoneFault.AREA_CODE: "固定电话请加区号",
    PhoneFault.NUMBER: "不是有效的手机号码或固定电话号码",
    PhoneFault.OWN: "不能呼叫本服务自己的号码",
}


class InvalidPhone(ValueError):
    """Not a number this service deals with; `reason` says why. The message repeats nothing of the input."""

    def __init__(self, reason: PhoneFault) -> None:
        super().__init__(_MESSAGES[reason])
        self.reason = reason

    @property
    def message(self) -> str:
        """One sentence in Chinese."""
        return _MESSAGES[self.reason]


@dataclass(frozen=True, slots=True)
class Phone:
    """A mainland number. Printed and formatted it shows its mask; only `digits` has the number (E2)."""

    digits: str = field(repr=False)
    """As dialled within the country: a mobile's 11 digits, or 0, area code and subscriber's number."""
    kind: PhoneKind

    @property
    def masked(self) -> str:
        """See `mask_phone`."""
        return mask_phone(self.digits)

    def __str__(self) -> str:
        return self.masked


def parse_chinese(text: str) -> Phone:
    """Read a mainland mobile or fixed-line number, with or without +86, in any usual spelling.

    Raises InvalidPhone, and nothing else whatever the text: also for extensions, other countries and 00…,
    400, 800, 95xxx, premium and emergency numbers, and fixed lines without an area code.
    """
    # Most input is as dialled already; only the rest needs its spelling undone.
    digits = text if _MOBILE.fullmatch(text) or _FIXED.fullmatch(text) else _national(_plain(text))
    mobile = _MOBILE.fullmatch(digits)
    if mobile is not None and _segment_kind(mobile[1][:_SEGMENT]) is PhoneKind.MOBILE:
        return Phone(mobile[1], PhoneKind.MOBILE)
    if _FIXED.fullmatch(digits) and _kind(int(digits)) is PhoneKind.FIXED:
        return Phone(digits, PhoneKind.FIXED)
    raise InvalidPhone(_fault(digits))


def callable_number(text: str, own: Container[str] = ()) -> Phone:
    """Read the number of an owner we may call (B4): any mainland number but the service's `own` lines.

    `own` holds digits as dialled within the country, e.g. ``{"051981997327"}``. Raises InvalidPhone.
    """
    phone = parse_chinese(text)
    if phone.digits in own:
        raise InvalidPhone(PhoneFault.OWN)
    return phone


def own_lines(desk_phone: str) -> frozenset[str]:
    """Return the digits of the service's own lines that could pass for somebody else's number.

    The caller ID 0519110 is too short to be anybody's, so the desk's line is the only one.
    """
    try:
        return frozenset({parse_chinese(desk_phone).digits})
    except InvalidPhone:
        return frozenset()  # a short internal line: nobody's number could be equal to it


def mask_phone(digits: str) -> str:
    """Return a number as everyone may see it: ``139****0005``, ``0519****7327``; anything else ``****``.

    Takes digits as in `Phone.digits`, and never raises: what it does not know it hides altogether.
    """
    if _MOBILE.fullmatch(digits) and digits.startswith("1"):
        return f"{digits[:3]}****{digits[-4:]}"
    fixed = _FIXED.fullmatch(digits)
    return f"0{fixed[1]}****{digits[-4:]}" if fixed else "****"


def _plain(text: str) -> str:
    if len(text) > _MAX_INPUT:
        raise InvalidPhone(PhoneFault.NUMBER)
    plain = unicodedata.normalize("NFKC", text).translate(_NO_SEPARATORS)
    if not plain:
        raise InvalidPhone(PhoneFault.EMPTY)
    if not _DIGITS.fullmatch(plain):
        raise InvalidPhone(PhoneFault.CHARACTER)
    return plain


def _national(plain: str) -> str:
    """Digits as dialled within the country. Raises InvalidPhone for other countries."""
    prefix = f"+{_COUNTRY}"
    if plain.startswith("+"):
        if not plain.startswith(prefix):
            raise InvalidPhone(PhoneFault.COUNTRY)
        return _with_trunk_prefix(plain.removeprefix(prefix))
    if plain.startswith("00"):
        raise InvalidPhone(PhoneFault.COUNTRY)
    # Nothing dialled within the country is as long as that and begins with 86.
    if re.fullmatch(r"86[0-9]{10,11}", plain):
        return _with_trunk_prefix(plain[2:])
    return plain


def _with_trunk_prefix(significant: str) -> str:
    return significant if _MOBILE.fullmatch(significant) else f"0{significant.removeprefix('0')}"


def _fault(digits: str) -> PhoneFault:
    if _PAID_BY_SOMEONE.fullmatch(digits):
        return PhoneFault.SERVICE
    if _SHORT.fullmatch(digits):
        return PhoneFault.SHORT_CODE
    if _LOCAL.fullmatch(digits):
        return PhoneFault.AREA_CODE
    return PhoneFault.NUMBER


@lru_cache(maxsize=65_536)
def _segment_kind(segment: str) -> PhoneKind | None:
    """Kind of every mobile number of a segment. Whole segments are assigned, so one number stands for all.

    Without this, asking phonenumbers is the larger part of loading a million owners. Fixed lines are asked
    about one by one: their ranges begin anywhere (010-8000 0000 is a service, 010-8010 0000 a subscriber).
    """
    return _kind(int(segment.ljust(_MOBILE_DIGITS, "0")))


def _kind(significant: int) -> PhoneKind | None:
    number = PhoneNumber(country_code=_COUNTRY, national_number=significant)
    return {
        PhoneNumberType.MOBILE: PhoneKind.MOBILE,
        PhoneNumberType.FIXED_LINE: PhoneKind.FIXED,
    }.get(phonenumbers.number_type(number))
