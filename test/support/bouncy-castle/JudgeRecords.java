import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Date;
import org.bouncycastle.asn1.tsp.ArchiveTimeStamp;
import org.bouncycastle.asn1.tsp.ArchiveTimeStampChain;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.SignerInformationVerifier;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TimeStampToken;
import org.bouncycastle.tsp.ers.ERSByteData;
import org.bouncycastle.tsp.ers.ERSEvidenceRecord;

/** Judges evidence records: for each name in the list, NAME.ers over NAME.data under the certificates NAME.root.* (DER). */
class JudgeRecords {
  public static void main(String[] args) throws Exception {
    java.security.Security.addProvider(new BouncyCastleProvider());
    Path dir = Path.of(args[0]);
    for (String name : Files.readAllLines(dir.resolve("names"))) {
      String said;
      try {
        said = judge(dir, name);
      } catch (Exception fault) {
        said = "refused " + fault.getMessage();
      }
      System.out.println(name + "\t" + said.replace('\n', ' '));
    }
  }

  static String judge(Path dir, String name) throws Exception {
    byte[] data = Files.readAllBytes(dir.resolve(name + ".data"));
    // The constructor checks that each timestamp covers the one before it.
    ERSEvidenceRecord record =
        new ERSEvidenceRecord(
            Files.readAllBytes(dir.resolve(name + ".ers")), new JcaDigestCalculatorProviderBuilder().build());
    record.validatePresent(new ERSByteData(data), new Date());
    ArchiveTimeStampChain[] chains = record.toASN1Structure().getArchiveTimeStampSequence().getArchiveTimeStampChains();
    int count = 0;
    for (ArchiveTimeStampChain chain : chains)
      for (ArchiveTimeStamp stamp : chain.getArchiveTimestamps()) {
        TimeStampToken token = new TimeStampToken(stamp.getTimeStamp());
        X509CertificateHolder signer =
            (X509CertificateHolder) token.getCertificates().getMatches(token.getSID()).iterator().next();
        token.validate(verifier(signer));
        if (!isUnderRoot(dir, name, signer)) throw new Exception("no root signed " + signer.getSubject());
        count++;
      }
    // It asks the newest of a chain to cover all before it, more than RFC 4998 does.
    if (chains[chains.length - 1].getArchiveTimestamps().length <= 2)
      record.validate(verifier(record.getSigningCertificate()));
    return "accepted " + count;
  }

  static SignerInformationVerifier verifier(X509CertificateHolder signer) throws Exception {
    return new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(signer);
  }

  static boolean isUnderRoot(Path dir, String name, X509CertificateHolder signer) throws Exception {
    for (int i = 0; Files.exists(dir.resolve(name + ".root." + i)); i++) {
      X509CertificateHolder root = new X509CertificateHolder(Files.readAllBytes(dir.resolve(name + ".root." + i)));
      if (root.getSubject().equals(signer.getIssuer())
          && signer.isSignatureValid(new JcaContentVerifierProviderBuilder().setProvider("BC").build(root))) return true;
    }
    return false;
  }
}
