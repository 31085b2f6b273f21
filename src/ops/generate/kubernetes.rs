//! figw on Kubernetes.

use super::{
    GenerateError, GeneratedFile,
    contained::{ADMIN_PORT, Contained, PORT, USER, image, quoted},
    seconds, seconds_to_stop,
    template::fill,
};
use crate::{
    config::Config,
    domain::SecretSource,
    ops::{backup::manifest, cron},
};

/// Where the pods see the Secret.
const SECRETS: &str = "/run/secrets/figw";

/// How long a pod goes on as before once it is told to end: until every node has heard of it.
const PRE_STOP: u64 = 10;

/// Replicas when no instances are configured: one may be replaced while another fails.
const REPLICAS: usize = 3;

/// What Kubernetes is to be told.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// figw's image.
    pub image: String,
    /// The namespace of every object.
    pub namespace: String,
    /// How many pods; as many as instances are configured when not given, or else three.
    pub replicas: Option<usize>,
}

impl Kubernetes {
    /// Renders all objects as one file.
    ///
    /// # Errors
    /// When the database is an SQLite file, or a name cannot be written into the file.
    pub fn render(&self, config: &Config) -> Result<GeneratedFile, GenerateError> {
        if let SecretSource::Plain(url) = config.database.url.secret().source()
            && url.starts_with("sqlite:")
        {
            return Err(GenerateError::new(
                "database.url names an SQLite file, which pods cannot share; set it to postgres://…",
            ));
        }
        let mut inside = config.clone();
        let replicas = self.replicas.unwrap_or(match config.instances.len() {
            0 => REPLICAS,
            some => some,
        });
        // Pods come and go; the Deployment restarts them.
        inside.instances.clear();
        let contained = Contained::new(&inside, SECRETS, false);
        let text = contained.yaml()?;
        let termination = PRE_STOP + seconds_to_stop(&contained.config.server);
        let image = quoted(image(&self.image)?);
        let pod_security = pod_security();
        let job_pod = fill(
            include_str!("templates/kubernetes-job-pod.yaml"),
            &[("pod_security", &pod_security)],
        );
        let job_container = fill(
            include_str!("templates/kubernetes-job-container.yaml"),
            &[("image", &image), ("container_security", CONTAINER_SECURITY), ("secrets", SECRETS)],
        );
        let secret_arguments: Vec<_> =
            contained.secrets.iter().map(|name| format!("--from-file={name}")).collect();
        let (backup_schedule, _) = cron::interval(config.backup.objectives.rpo);
        let namespace = self.namespace()?;
        let metadata = |name: &str| {
            format!(
                "name: {name}\nnamespace: {}\nlabels:\n  app.kubernetes.io/name: figw",
                quoted(namespace)
            )
        };
        let backup = &contained.config.backup;
        let drill = if backup.identities.is_empty() && !backup.encrypt_to.is_empty() {
            "# No drill: backup.identities names no key that opens the encrypted backups."
                .to_owned()
        } else {
            let values = [
                ("metadata_drill", metadata("figw-drill")),
                ("job_pod", job_pod.clone()),
                ("job_container", job_container.clone()),
            ];
            let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
            fill(include_str!("templates/kubernetes-drill.yaml"), &values).trim_end().to_owned()
        };
        let values = [
            ("namespace", namespace.to_owned()),
            ("secret_arguments", secret_arguments.join(" ")),
            ("metadata", metadata("figw")),
            ("metadata_backups", metadata("figw-backups")),
            ("metadata_migrate", metadata("figw-migrate")),
            ("metadata_backup", metadata("figw-backup")),
            ("checksum", quoted(&manifest::sha256(text.as_bytes()))),
            ("config", text),
            ("drill", drill),
            ("job_pod", job_pod),
            ("job_container", job_container),
            ("pod_security", pod_security),
            ("container_security", CONTAINER_SECURITY.to_owned()),
            ("replicas", replicas.to_string()),
            ("stabilise", seconds(config.rolling_restart.stabilise).to_string()),
            ("termination", termination.to_string()),
            ("pre_stop", PRE_STOP.to_string()),
            ("image", image),
            ("port", PORT.to_string()),
            ("admin_port", ADMIN_PORT.to_string()),
            ("secrets", SECRETS.to_owned()),
            ("backup_schedule", backup_schedule),
        ];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        let content = fill(include_str!("templates/kubernetes.yaml"), &values);
        Ok(GeneratedFile::new("figw.yaml", content))
    }

    fn namespace(&self) -> Result<&str, GenerateError> {
        let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let name = self.namespace.as_str();
        let is_name = (1..=63).contains(&name.len())
            && name.chars().all(is_fit)
            && !name.starts_with('-')
            && !name.ends_with('-');
        is_name.then_some(name).ok_or_else(|| {
            GenerateError::new(format!(
                "--namespace: {name:?} must be lower-case letters, digits and -"
            ))
        })
    }
}

fn pod_security() -> String {
    format!(
        "securityContext:\n  runAsNonRoot: true\n  runAsUser: {USER}\n  runAsGroup: {USER}\n  \
         fsGroup: {USER}\n  fsGroupChangePolicy: OnRootMismatch\n  seccompProfile: {{type: RuntimeDefault}}"
    )
}

const CONTAINER_SECURITY: &str = "\
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}";
