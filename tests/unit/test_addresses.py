import pytest

from jobs.addresses import may_be_told


@pytest.mark.parametrize("address", [
    "93.184.215.14", "8.8.8.8", "172.32.0.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8",
    "64:ff9b::808:808"])
def test_public_addresses_may_be_told(address: str) -> None:
    assert may_be_told(address, private=False)


@pytest.mark.parametrize("address", [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"])
def test_private_addresses_are_for_those_who_allow_them(address: str) -> None:
    assert not may_be_told(address, private=False)
    assert may_be_told(address, private=True)


@pytest.mark.parametrize("address", [
    "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "169.254.0.1", "fe80::1", "fe80::1%eth0",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",  # where clouds tell secrets
    "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1",
    "::", "::7f00:1", "ff02::1", "fec0::1", "2001:db8::1", "100::1", "64:ff9b:1::7f00:1",
    "2002:7f00:1::", "2002:808:808::", "2001:0:808:808::1",  # 6to4, Teredo
    "", "localhost", "127.1", "0x7f000001"])
def test_no_setting_opens_what_is_neither(address: str) -> None:
    assert not may_be_told(address, private=False)
    assert not may_be_told(address, private=True)
