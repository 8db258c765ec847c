import eu.europa.esig.dss.diagnostic.DiagnosticData;
import eu.europa.esig.dss.diagnostic.SignatureWrapper;
import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.x509.CertificateToken;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.validation.reports.Reports;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import org.apache.pdfbox.Loader;
import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.PDSignature;
import org.bouncycastle.asn1.ASN1InputStream;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.ess.ESSCertIDv2;
import org.bouncycastle.asn1.ess.SigningCertificateV2;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampToken;
import org.bouncycastle.util.Selector;
import org.bouncycastle.util.Store;
import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion;
import org.verapdf.pdfa.results.ValidationResult;

/**
 * Bouncy Castle, EU DSS and veraPDF judging files, all in one start. Each line of the list in the first argument is one
 * file: `pdf <signing root> <timestamp root> <file> [pdfa]` or `ts <root> <query> <response>`, tabs between; `pdfa` asks
 * veraPDF too, whether it is PDF/A-3b. One line of output for each and judge: number of the line, judge, `accept` or `refuse`, what it said; tabs between.
 */
public class Judge {
  public static void main(String[] args) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    List<String> lines = Files.readAllLines(Path.of(args[0]));
    for (int i = 0; i < lines.size(); i++) {
      String[] parts = lines.get(i).split("\t");
      if (parts[0].equals("pdf")) {
        tell(i, "bouncycastle", () -> judgePdf(parts));
        tell(i, "dss", () -> judgeByDss(parts));
        if (parts.length > 4) tell(i, "verapdf", () -> judgeByVeraPdf(parts[3]));
      } else {
        tell(i, "bouncycastle", () -> judgeResponse(parts));
      }
    }
  }

  interface Opinion {
    String give() throws Exception;
  }

  /** What throws is refused; what returns is accepted. */
  static void tell(int line, String judge, Opinion opinion) {
    String verdict = "accept";
    String words;
    try {
      words = opinion.give();
    } catch (Throwable fault) {
      verdict = "refuse";
      words = fault.getClass().getSimpleName() + ": " + fault.getMessage();
    }
    System.out.println(line + "\t" + judge + "\t" + verdict + "\t" + words.replaceAll("\\s+", " "));
  }

  static String judgePdf(String[] parts) throws Exception {
    X509CertificateHolder signing = root(parts[1]);
    X509CertificateHolder stamping = root(parts[2]);
    byte[] bytes = Files.readAllBytes(Path.of(parts[3]));
    List<String> words = new ArrayList<>();
    try (PDDocument document = Loader.loadPDF(bytes)) {
      List<PDSignature> signatures = document.getSignatureDictionaries();
      require(!signatures.isEmpty(), "no signature");
      int covered = 0;
      for (PDSignature signature : signatures) {
        byte[] content = signature.getSignedContent(bytes);
        byte[] cms = withoutPadding(signature.getContents(bytes));
        int[] range = signature.getByteRange();
        covered = Math.max(covered, range[2] + range[3]);
        if ("ETSI.RFC3161".equals(signature.getSubFilter())) {
          TimeStampToken token = new TimeStampToken(new CMSSignedData(cms));
          verifyToken(token, content, stamping);
          words.add("document timestamp " + token.getTimeStampInfo().getGenTime().toInstant());
        } else {
          words.add(verifyCms(new CMSSignedData(new CMSProcessableByteArray(content), cms), signing, stamping));
        }
      }
      require(covered <= bytes.length, "a range beyond the end");
      words.add(covered == bytes.length ? "all covered" : (bytes.length - covered) + " bytes not covered");
    }
    return String.join(", ", words);
  }

  static String verifyCms(CMSSignedData cms, X509CertificateHolder root, X509CertificateHolder stamping) throws Exception {
    Collection<SignerInformation> signers = cms.getSignerInfos().getSigners();
    require(signers.size() == 1, signers.size() + " signers");
    SignerInformation signer = signers.iterator().next();
    X509CertificateHolder leaf = leafOf(cms.getCertificates(), signer);
    require(signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(leaf)), "the signature is bad");
    Attribute named = signer.getSignedAttributes().get(PKCSObjectIdentifiers.id_aa_signingCertificateV2);
    require(named != null, "no signing certificate attribute");
    ESSCertIDv2 ess = SigningCertificateV2.getInstance(named.getAttrValues().getObjectAt(0)).getCerts()[0];
    byte[] hash = MessageDigest.getInstance(ess.getHashAlgorithm().getAlgorithm().getId(), "BC").digest(leaf.getEncoded());
    require(Arrays.equals(hash, ess.getCertHash()), "another signing certificate is named");
    require(signer.getUnsignedAttributes() != null, "no timestamp");
    Attribute stamped = signer.getUnsignedAttributes().get(PKCSObjectIdentifiers.id_aa_signatureTimeStampToken);
    require(stamped != null, "no timestamp");
    CMSSignedData inner = new CMSSignedData(stamped.getAttrValues().getObjectAt(0).toASN1Primitive().getEncoded());
    TimeStampToken token = new TimeStampToken(inner);
    verifyToken(token, signer.getSignature(), stamping);
    Date at = token.getTimeStampInfo().getGenTime();
    issuedBy(leaf, root, at);
    return "signed " + at.toInstant();
  }

  static void verifyToken(TimeStampToken token, byte[] stamped, X509CertificateHolder root) throws Exception {
    X509CertificateHolder leaf = (X509CertificateHolder) token.getCertificates().getMatches(token.getSID()).iterator().next();
    token.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(leaf));
    String algorithm = token.getTimeStampInfo().getMessageImprintAlgOID().getId();
    byte[] imprint = MessageDigest.getInstance(algorithm, "BC").digest(stamped);
    require(Arrays.equals(imprint, token.getTimeStampInfo().getMessageImprintDigest()), "imprint of something else");
    issuedBy(leaf, root, token.getTimeStampInfo().getGenTime());
  }

  static String judgeResponse(String[] parts) throws Exception {
    TimeStampRequest query = new TimeStampRequest(Files.readAllBytes(Path.of(parts[2])));
    TimeStampResponse response = new TimeStampResponse(Files.readAllBytes(Path.of(parts[3])));
    response.validate(query);
    TimeStampToken token = response.getTimeStampToken();
    require(token != null, "no token");
    require(query.getReqPolicy() == null || query.getReqPolicy().equals(token.getTimeStampInfo().getPolicy()), "another policy");
    X509CertificateHolder root = root(parts[1]);
    List<X509CertificateHolder> leaves = new ArrayList<>(token.getCertificates().getMatches(token.getSID()));
    require(!leaves.isEmpty(), "the certificate of the signer is missing");
    X509CertificateHolder leaf = leaves.get(0);
    token.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(leaf));
    Date at = token.getTimeStampInfo().getGenTime();
    X509CertificateHolder below = leaf;
    for (Object one : token.getCertificates().getMatches(null)) {
      X509CertificateHolder issuer = (X509CertificateHolder) one;
      if (!issuer.getSubject().equals(leaf.getIssuer())) continue;
      issuedBy(leaf, issuer, at);
      below = issuer;
    }
    issuedBy(below, root, at);
    return "stamped " + at.toInstant();
  }

  static X509CertificateHolder leafOf(Store<X509CertificateHolder> store, SignerInformation signer) throws Exception {
    @SuppressWarnings("unchecked")
    Collection<X509CertificateHolder> found = store.getMatches((Selector<X509CertificateHolder>) signer.getSID());
    require(found.size() == 1, "the certificate of the signer is missing");
    return found.iterator().next();
  }

  static void issuedBy(X509CertificateHolder leaf, X509CertificateHolder root, Date at) throws Exception {
    require(leaf.isSignatureValid(new org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder().setProvider("BC").build(root)), "an untrusted issuer");
    require(leaf.isValidOn(at) && root.isValidOn(at), "a certificate that was not in force");
  }

  static byte[] withoutPadding(byte[] contents) throws Exception {
    try (ASN1InputStream in = new ASN1InputStream(contents)) {
      return in.readObject().getEncoded("DER").length > 0 ? Arrays.copyOf(contents, derLength(contents)) : contents;
    }
  }

  static int derLength(byte[] bytes) {
    int first = bytes[1] & 0xff;
    if (first < 0x80) return 2 + first;
    int length = 0;
    for (int i = 0; i < (first & 0x7f); i++) length = length * 256 + (bytes[2 + i] & 0xff);
    return 2 + (first & 0x7f) + length;
  }

  static X509CertificateHolder root(String pem) throws Exception {
    return new X509CertificateHolder(DSSUtils.loadCertificate(new File(pem)).getEncoded());
  }

  static void require(boolean isSo, String otherwise) {
    if (!isSo) throw new IllegalStateException(otherwise);
  }

  static String judgeByDss(String[] parts) throws Exception {
    CommonTrustedCertificateSource trusted = new CommonTrustedCertificateSource();
    for (String pem : new String[] {parts[1], parts[2]}) {
      CertificateToken token = DSSUtils.loadCertificate(new File(pem));
      trusted.addCertificate(token);
    }
    CommonCertificateVerifier verifier = new CommonCertificateVerifier();
    verifier.setTrustedCertSources(trusted);
    SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(new FileDocument(parts[3]));
    validator.setCertificateVerifier(verifier);
    Reports reports = validator.validateDocument();
    SimpleReport report = reports.getSimpleReport();
    DiagnosticData data = reports.getDiagnosticData();
    require(report.getSignaturesCount() == 1, report.getSignaturesCount() + " signatures");
    String id = report.getFirstSignatureId();
    SignatureWrapper signature = data.getSignatureById(id);
    boolean isStamped = report.getSignatureTimestamps(id).stream().allMatch(one -> one.getIndication() == Indication.PASSED);
    boolean isChanged = signature.arePdfModificationsDetected() || !signature.getPdfUndefinedChanges().isEmpty();
    String words = report.getSignatureFormat(id) + " " + report.getIndication(id) + " " + report.getSubIndication(id)
        + (isStamped ? " stamped" : " badly stamped") + (isChanged ? " changed" : " unchanged")
        + " errors " + report.getAdESValidationErrors(id).stream().map(m -> m.getValue()).toList();
    boolean isBaseline = String.valueOf(report.getSignatureFormat(id)).startsWith("PAdES-BASELINE-");
    require(report.getIndication(id) == Indication.TOTAL_PASSED && isBaseline && isStamped && !isChanged, words);
    return words;
  }

  static String judgeByVeraPdf(String path) throws Exception {
    VeraGreenfieldFoundryProvider.initialise();
    try (PDFAParser parser = Foundries.defaultInstance().createParser(new File(path), PDFAFlavour.PDFA_3_B)) {
      ValidationResult result = Foundries.defaultInstance().createValidator(PDFAFlavour.PDFA_3_B, false).validate(parser);
      List<String> failed = result.getTestAssertions().stream()
          .filter(one -> one.getStatus() == TestAssertion.Status.FAILED)
          .map(one -> one.getRuleId().getClause() + " " + one.getMessage())
          .distinct()
          .toList();
      require(result.isCompliant(), failed.toString());
      return "PDF/A-3b, " + result.getTotalAssertions() + " checks";
    }
  }
}
