import os

from localcluster import building, content


def folder(tmp_path, name, files):
    top = tmp_path / name
    for path, text in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    return top, [top / path for path in files]


def test_where_one_part_ends_counts():
    assert content.fingerprint("ab", "c") != content.fingerprint("a", "bc")


def test_the_same_files_elsewhere_have_the_same_name(tmp_path):
    first = folder(tmp_path, "a", {"Dockerfile": "FROM x", "src/m.py": "1"})
    second = folder(tmp_path, "b", {"src/m.py": "1", "Dockerfile": "FROM x"})
    os.utime(second[1][0], (1, 1))
    assert content.of_files(*first) == content.of_files(*second)


def test_content_path_execute_bit_and_arguments_change_the_name(tmp_path):
    top, files = folder(tmp_path, "a", {"run": "1", "b": "2"})
    before = content.of_files(top, files)
    assert content.of_files(top, files, "base:2") != before
    files[0].chmod(0o755)
    executable = content.of_files(top, files)
    assert executable != before
    files[0].write_text("3")
    assert content.of_files(top, files) != executable
    assert content.of_files(*folder(tmp_path, "c", {"run2": "1", "b": "2"})) != before


def test_a_mapping_has_one_name_in_any_order():
    assert content.of_mapping({"a": "1", "b": "2"}) == content.of_mapping({"b": "2", "a": "1"})
    assert content.of_mapping({"a": "1", "b": "2"}) != content.of_mapping({"a": "2", "b": "1"})


def test_a_staged_context_has_one_time_and_plain_modes(tmp_path):
    top, files = folder(tmp_path, "a", {"src/m.py": "1", "run": "2"})
    files[0].chmod(0o600)
    files[1].chmod(0o777)
    (top / "not-listed").write_text("3")
    target = tmp_path / "staged"
    building.stage(files, top, target)
    staged = {
        path.relative_to(target).as_posix(): path.stat().st_mode & 0o777
        for path in target.rglob("*")
        if path.is_file()
    }
    assert staged == {"src/m.py": 0o644, "run": 0o755}
    assert {path.stat().st_mtime for path in target.rglob("*")} == {building.SAME_TIME}


def test_a_build_trusts_whom_the_host_trusts():
    host = {"SSL_CERT_FILE": "/host/ca.crt", "PIP_INDEX_URL": "https://index.example", "HOME": "/home/me"}
    assert building.host_settings(host) == (
        {
            "PIP_INDEX_URL": "https://index.example",
            "SSL_CERT_FILE": "/run/secrets/ca",
            "PIP_CERT": "/run/secrets/ca",
        },
        {"ca": "/host/ca.crt"},
    )
    assert building.host_settings({}) == ({}, {})
