"""Names of languages by code, for people to choose from."""

from __future__ import annotations

LISTED = """
af:Afrikaans am:Amharic ar:Arabic az:Azerbaijani be:Belarusian bg:Bulgarian bn:Bengali bs:Bosnian ca:Catalan
cs:Czech cy:Welsh da:Danish de:German el:Greek en:English eo:Esperanto es:Spanish et:Estonian eu:Basque
fa:Persian fi:Finnish fil:Filipino fr:French ga:Irish gd:Gaelic gl:Galician gu:Gujarati ha:Hausa he:Hebrew
hi:Hindi hr:Croatian hu:Hungarian hy:Armenian id:Indonesian ig:Igbo is:Icelandic it:Italian ja:Japanese
ka:Georgian kk:Kazakh km:Khmer kn:Kannada ko:Korean ku:Kurdish ky:Kyrgyz lb:Luxembourgish lo:Lao lt:Lithuanian
lv:Latvian mg:Malagasy mk:Macedonian ml:Malayalam mn:Mongolian mr:Marathi ms:Malay mt:Maltese my:Burmese
nb:Norwegian ne:Nepali nl:Dutch nn:Nynorsk no:Norwegian oc:Occitan pa:Punjabi pl:Polish ps:Pashto
pt:Portuguese ro:Romanian ru:Russian rw:Kinyarwanda sd:Sindhi si:Sinhala sk:Slovak sl:Slovenian so:Somali
sq:Albanian sr:Serbian sv:Swedish sw:Swahili ta:Tamil te:Telugu tg:Tajik th:Thai tk:Turkmen tl:Tagalog
tr:Turkish tt:Tatar ug:Uyghur uk:Ukrainian ur:Urdu uz:Uzbek vi:Vietnamese xh:Xhosa yi:Yiddish yo:Yoruba
zh:Chinese zu:Zulu
"""
NAMES = dict(pair.split(":") for pair in LISTED.split())
"By code of two letters, or three where there is none of two."


def name_of(code: str) -> str:
    """The English name of a language; of a code that is not known, the code."""
    language, *variant = code.replace("_", "-").split("-", 1)
    name = NAMES.get(language.lower())
    if name is None:
        return code
    return f"{name} ({variant[0]})" if variant else name
