"""Documents and titles in Korean: notices of a town, written for this example.

    python examples/document-to-title/make_data.py FOLDER        writes train.jsonl and held-out.jsonl

A row is `{"document", "title"}`. Six kinds of notice, each about every place and day below; the places of the held-out notices
never occur in those to train on.
"""

import json
import random
import sys
from itertools import product
from pathlib import Path

Row = dict[str, str]

PLACES = (
    "시립도서관",
    "중앙공원",
    "한강체육관",
    "남문시장",
    "동부보건소",
    "어린이회관",
    "강변주차장",
    "북촌문화원",
    "서부수영장",
    "청년센터",
)
HELD_OUT = ("역사박물관", "시민회관")
DAYS = ("3월 2일", "5월 14일", "7월 9일", "9월 21일", "11월 30일")
NOTICES = {
    "{place} 임시 휴관 안내": (
        "{day} 하루 동안 {place} 문을 닫습니다. 건물의 전기 설비를 점검하기 때문입니다. 다음 "
        "날부터는 평소와 같이 이용하실 수 있습니다. 이용에 불편을 드려 죄송합니다."
    ),
    "{place} 운영 시간 연장": (
        "{day}부터 {place} 운영 시간이 두 시간 늘어납니다. 저녁에 이용하려는 시민이 많아졌기 "
        "때문입니다. 앞으로는 밤 아홉 시까지 문을 열며, 주말에는 전과 같습니다."
    ),
    "{place} 무료 음악회 개최": (
        "시립 교향악단이 {day} 저녁 일곱 시에 {place} 앞마당에서 음악회를 엽니다. 누구나 무료로 "
        "들을 수 있고, 자리는 오는 순서대로 앉습니다. 비가 오면 실내에서 합니다."
    ),
    "{place} 자원봉사자 모집": (
        "{place} 일을 도울 자원봉사자 스무 명을 찾습니다. 신청은 {day}까지 시청 누리집에서 "
        "받습니다. 일주일에 세 시간씩 안내와 정리를 맡게 되며, 봉사 시간은 증명서로 드립니다."
    ),
    "{place} 주변 도로 통제": (
        "상수도관을 바꾸는 공사로 {day} 오전 아홉 시부터 오후 네 시까지 {place} 주변 도로를 "
        "막습니다. 버스는 옆길로 돌아가고, 걸어서는 지나갈 수 있습니다. 자세한 길은 교통과에 물어보시기 "
        "바랍니다."
    ),
    "{place} 분실물 보관 안내": (
        "지난달 {place} 안에서 나온 우산과 지갑, 열쇠를 보관하고 있습니다. 찾으러 오실 분은 "
        "신분증을 가지고 {day}까지 안내소로 오십시오. 그 뒤에는 경찰서로 보냅니다."
    ),
}


def rows(places: tuple[str, ...]) -> list[Row]:
    """Every notice about every one of the places on every day, in an order of their own."""
    made = [
        {"document": document.format(place=place, day=day), "title": title.format(place=place)}
        for (title, document), place, day in product(NOTICES.items(), places, DAYS)
    ]
    random.Random(0).shuffle(made)  # noqa: S311  the order of rows
    return made


def main(folder: str) -> None:
    """Write both files and say what is in them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, places in (("train.jsonl", PLACES), ("held-out.jsonl", HELD_OUT)):
        file = Path(folder) / name
        made = rows(places)
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
        print(f"{file}: {len(made)} rows")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
