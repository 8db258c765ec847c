"""pyHanko judging files, all in one start.

Each line of the list in the first argument is one file: level, signing root, timestamp root, file; tabs between. One line of
output for each: number of the line, `accept` or `refuse`, what it said; tabs between.
"""

import asyncio
import logging
import sys

from asn1crypto import pem, x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESPassed
from pyhanko.sign.validation import (
    DocumentSecurityStore,
    SignatureCoverageLevel,
    validate_pdf_signature,
    validate_pdf_timestamp,
)
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager

logging.disable(logging.CRITICAL)


class Refusal(Exception):
    """What this judge holds against a file."""


def read_root(path: str) -> x509.Certificate:
    with open(path, "rb") as file:
        _, _, der = pem.unarmor(file.read())
    return x509.Certificate.load(der)


def policy_of(root: x509.Certificate) -> CertValidationPolicySpec:
    # A later list speaks of an earlier moment too: revocations are never taken back here.
    return CertValidationPolicySpec(
        trust_manager=SimpleTrustManager.build(trust_roots=[root]),
        revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO, retroactive_revinfo=True),
    )


def judge_long_term(signature, signing: x509.Certificate, stamping: x509.Certificate) -> str:
    spec = PdfSignatureValidationSpec(
        SignatureValidationSpec(
            cert_validation_policy=policy_of(signing),
            ts_cert_validation_policy=policy_of(stamping),
            revinfo_gathering_policy=RevocationInfoGatheringSpec(RevinfoOnlineFetchingRule.LOCAL_ONLY),
        )
    )
    result = asyncio.run(ades_lta_validation(signature, spec))
    if result.ades_subindic != AdESPassed.OK:
        raise Refusal(f"{result.ades_subindic.standard_name}: {result.failure_msg}")
    stamped = result.signature_timestamp_status
    if stamped is None or stamped.ades_subindic != AdESPassed.OK:
        raise Refusal(f"timestamp: {stamped and stamped.ades_subindic.standard_name} {stamped and stamped.failure_msg}")
    status = result.api_status
    if not status.docmdp_ok or status.modification_level is None or status.modification_level.name not in ("NONE", "LTA_UPDATES"):
        raise Refusal(f"changes: {status.modification_level}")
    return status.summary()


def judge_now(reader: PdfFileReader, signature, is_long: bool, signing: x509.Certificate, stamping: x509.Certificate) -> str:
    def context(root: x509.Certificate) -> ValidationContext:
        trust = {"trust_roots": [root], "allow_fetching": False}
        if not is_long:
            return ValidationContext(**trust)
        store = DocumentSecurityStore.read_dss(reader)
        return store.as_validation_context({**trust, "revocation_mode": "require", "retroactive_revinfo": True})

    status = validate_pdf_signature(signature, context(signing), ts_validation_context=context(stamping))
    said = status.summary()
    if not status.bottom_line or status.timestamp_validity is None:
        raise Refusal(said)
    if status.coverage not in (SignatureCoverageLevel.ENTIRE_FILE, SignatureCoverageLevel.ENTIRE_REVISION):
        raise Refusal(f"coverage {status.coverage}")
    return said


def judge(level: str, signing_path: str, stamping_path: str, path: str) -> str:
    signing, stamping = read_root(signing_path), read_root(stamping_path)
    with open(path, "rb") as file:
        reader = PdfFileReader(file)
        signatures = reader.embedded_regular_signatures
        if len(signatures) != 1:
            raise Refusal(f"{len(signatures)} signatures")
        if level in ("B-T", "B-LT"):
            said = judge_now(reader, signatures[0], level == "B-LT", signing, stamping)
        else:
            said = judge_long_term(signatures[0], signing, stamping)
        for stamp in reader.embedded_timestamp_signatures:
            context = ValidationContext(trust_roots=[stamping], allow_fetching=False)
            stamped = validate_pdf_timestamp(stamp, context)
            if not (stamped.intact and stamped.valid and stamped.trusted):
                raise Refusal(f"document timestamp: {stamped.summary()}")
            said += f", document timestamp {stamped.summary()}"
        return said


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines):
        try:
            verdict, words = "accept", judge(*line.split("\t"))
        except Exception as fault:  # whatever it throws at a hostile file is a refusal
            verdict, words = "refuse", f"{type(fault).__name__}: {fault}"
        print(number, verdict, " ".join(words.split())[:600], sep="\t", flush=True)


main()
