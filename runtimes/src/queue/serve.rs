//! The host's side: pulls messages, one for each slot that is free, from the first to the drain.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message as Pulled;
use async_nats::jetstream::consumer::{Consumer, pull};
use futures::{FutureExt, StreamExt};
use samara_core::{Error, ErrorKind, wire};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::config::Config;
use super::hand::Hand;
use super::login::Login;
use super::message::hosts_subject;
use crate::host::{Defaults, Ended, Given, Host, Planned, Surroundings, Take};
use crate::jitter::jitter;
use crate::mail::Desk;

/// What says where the queue is.
const VARIABLE: &str = "SAMARA_HOST_QUEUE";

/// How long a request for a message waits at the broker: one that went astray is made again then.
const PULL_TIME: Duration = Duration::from_secs(10);

/// How long a message is waited for that was on its way when the host was told to end: another host has
/// it at once then, and not only when the broker misses this one.
const LAST_TIME: Duration = Duration::from_millis(200);

/// The first wait where the broker is away, or does not give messages; doubles each time.
const AGAIN_FIRST: Duration = Duration::from_millis(250);

/// The longest such wait.
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// What answers go to. Elsewhere a host may publish what who asks may not, such as orders to the broker.
const INBOX: &str = "_INBOX.";

/// How long what was said to the broker last may take to leave.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// A machine that pulls from a queue.
pub(crate) const PLACE: Surroundings = Surroundings {
    name: "queue",
    doc: "a machine of a pool, with a queue to pull from in SAMARA_HOST_QUEUE",
    told_by: Some(VARIABLE),
    // Virtual machines that are taken away have a notice of 30 s at some providers, and what was told
    // to the broker takes a moment.
    grace: Duration::from_secs(20),
    defaults: |_| Defaults { slots: None, cache_dir: None, cache_key_file: None },
    check: |planned| check(planned).map(drop),
    serve: |host| serve(host).boxed(),
    embed: Some(embed),
};

/// Everything that pulls.
struct Puller {
    hand: Hand,
    broker: Broker,
    config: Config,
    stop: watch::Receiver<bool>,
}

/// Refuses what makes no sense together.
fn check(planned: &Planned<'_>) -> Result<(Config, Login), Error> {
    let invalid = |text: &str| Error::new(ErrorKind::Invalid, text);
    let Some(url) = planned.variables.get(VARIABLE).filter(|said| !said.is_empty()) else {
        let text = "SAMARA_HOST_QUEUE is not set, which says where the queue is: \
                    queue://HOST:PORT[/STREAM]";
        return Err(invalid(text));
    };
    let config = Config::parse(url).map_err(|error| error.context(VARIABLE))?;
    let login = Login::read(&config, planned.variables)?;
    if planned.tls.is_some() {
        let text = "a host that pulls from a queue listens nowhere; take SAMARA_HOST_TLS_CERT and its \
                    like out, and say `?tls=true` in SAMARA_HOST_QUEUE for the way to the broker";
        return Err(invalid(text));
    }
    if planned.variables.get("SAMARA_HOST_TOKENS").is_some_and(|said| !said.is_empty()) {
        let text = "messages of a queue show no tokens; take SAMARA_HOST_TOKENS out, and say who may \
                    send batches with SAMARA_HOST_TENANTS, or by what the broker lets in";
        return Err(invalid(text));
    }
    Ok((config, login))
}

async fn serve(mut host: Host) -> Result<Ended, Error> {
    let planned = Planned {
        variables: &host.variables,
        listen: host.listen.as_deref(),
        knows_some: !host.tokens.is_empty() || host.service.has_gate(),
        tls: host.tls.as_deref(),
    };
    let (config, login) = check(&planned)?;
    let Some((broker, consumer)) = connect(&config, &login, host.stop.clone()).await? else {
        return Ok(Ended::Done);
    };
    admits_nobody_else(&config, &broker, host.service.has_gate())?;
    if host.service.has_gate() && !config.is_here() && !login.has_tls() {
        tracing::warn!(
            "{config} is on another machine, and no TLS is asked for: tickets can be read on their \
             way, unless the broker asks for it; `?tls=true` does"
        );
    }
    (host.listening)(&config.to_string());
    let desk = Desk { service: Arc::clone(&host.service), depot: Arc::clone(&host.depot) };
    let slots = host.service.info().slots;
    let puller = Puller { hand: Hand::new(desk), broker, config, stop: host.stop.clone() };
    let puller = Arc::new(puller);
    let answers = tokio::spawn(Arc::clone(&puller).answer());
    let mut pulling = JoinSet::new();
    for _ in 0..slots {
        pulling.spawn(Arc::clone(&puller).pull(consumer.clone()));
    }
    // An error means that nobody is there to stop it any more.
    drop(host.stop.wait_for(|stop| *stop).await);
    let all_done = host.service.drain(host.grace).await;
    // What they were at is written, or goes back.
    let _those_that_hang_are_left =
        timeout(FLUSH_MAX, async { while pulling.join_next().await.is_some() {} }).await;
    answers.abort();
    let _what_is_not_said_by_then_is_missed =
        timeout(FLUSH_MAX, puller.broker.client.flush()).await;
    Ok(if all_done { Ended::Done } else { Ended::HandedBack })
}

/// A machine that is handed its messages by whoever plays the broker, and says what that is to do with
/// each: that it is `done`, is to come `back` to somebody, or `never`, and why.
fn embed(host: Host) -> Take {
    let hand = Arc::new(Hand::new(Desk { service: host.service, depot: host.depot }));
    Arc::new(move |given: Given| {
        let hand = Arc::clone(&hand);
        async move {
            let times = given.id.parse().unwrap_or(1);
            hand.see_to(&given.payload, times).await.to_string().into_bytes()
        }
        .boxed()
    })
}

/// Connects, however long the broker takes to start; none where the host is told to end before.
async fn connect(
    config: &Config,
    login: &Login,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<(Broker, Consumer<pull::Config>)>, Error> {
    let mut wait = AGAIN_FIRST;
    loop {
        let connected = async {
            let broker = Broker::connect(config, login, "samara-host").await?;
            let consumer = broker.queue(config).await?;
            Ok::<_, Error>((broker, consumer))
        };
        match connected.await {
            Ok(connected) => return Ok(Some(connected)),
            Err(error) if error.kind == ErrorKind::Lost => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = sleep(wait.mul_f64(jitter())) => wait = (wait * 2).min(AGAIN_MAX),
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

/// Refuses a queue that anybody could put batches into.
fn admits_nobody_else(config: &Config, broker: &Broker, has_gate: bool) -> Result<(), Error> {
    if has_gate || config.is_here() || broker.asks_who() {
        return Ok(());
    }
    let text = format!(
        "the broker of {config} lets everybody in, and anybody who reaches it could run tasks: have \
         it ask who comes, or say whose batches are run with SAMARA_HOST_TENANTS"
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

// === impl Puller ===

impl Puller {
    /// Takes one message after the other, until the host is told to end.
    async fn pull(self: Arc<Self>, mut consumer: Consumer<pull::Config>) {
        let mut stop = self.stop.clone();
        let mut wait = AGAIN_FIRST;
        while !*stop.borrow() {
            match self.next(&consumer, &mut stop).await {
                Ok(Some(message)) => {
                    wait = AGAIN_FIRST;
                    self.hand.take(message).await;
                }
                Ok(None) => wait = AGAIN_FIRST,
                Err(error) => {
                    tracing::debug!("no message is given: {error}");
                    tokio::select! {
                        () = sleep(wait.mul_f64(jitter())) => wait = (wait * 2).min(AGAIN_MAX),
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                    // A broker that lost its disk has no queue any more.
                    match self.broker.queue(&self.config).await {
                        Ok(again) => consumer = again,
                        Err(error) => tracing::warn!("{error}"),
                    }
                }
            }
        }
    }

    /// The next message; none where there was none for a while, or the connection is another one.
    async fn next(
        &self,
        consumer: &Consumer<pull::Config>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Pulled>, async_nats::Error> {
        let mut connected = self.broker.connected.clone();
        connected.borrow_and_update();
        let mut messages = consumer.batch().max_messages(1).expires(PULL_TIME).messages().await?;
        tokio::select! {
            biased;
            message = messages.next() => return message.transpose(),
            // The broker forgot what it was asked.
            _ = connected.changed() => return Ok(None),
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if let Ok(Some(Ok(message))) = timeout(LAST_TIME, messages.next()).await {
            self.hand.give_back(&message).await;
        }
        Ok(None)
    }

    /// Says to whoever asks that this host is there.
    async fn answer(self: Arc<Self>) {
        let (client, mut wait) = (&self.broker.client, AGAIN_FIRST);
        loop {
            match client.subscribe(hosts_subject(&self.config)).await {
                Ok(mut questions) => {
                    while let Some(question) = questions.next().await {
                        let to = question.reply.filter(|to| to.starts_with(INBOX));
                        let info = wire::encode_info(&self.hand.info());
                        let Some((to, info)) = to.zip(info.ok()) else { continue };
                        if let Err(error) = client.publish(to, info).await {
                            tracing::debug!("a driver was not answered: {error}");
                        }
                    }
                }
                Err(error) => tracing::debug!("no questions are heard: {error}"),
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Variables;

    fn refused(variables: &[(&str, &str)]) -> String {
        let own = |(name, said): &(&str, &str)| ((*name).to_owned(), (*said).to_owned());
        let variables: Variables = variables.iter().map(own).collect();
        let planned = Planned { variables: &variables, listen: None, knows_some: false, tls: None };
        PLACE.check(&planned).expect_err("it makes no sense").message
    }

    #[test]
    fn what_makes_no_sense_for_a_queue_is_refused_by_name() {
        let url = (VARIABLE, "queue://a");
        for (variables, wanted) in [
            (&[][..], "SAMARA_HOST_QUEUE is not set"),
            (&[(VARIABLE, "nats://me:hunter2@a")], "secrets do not belong"),
            (&[url, ("SAMARA_HOST_TOKENS", "0123456789abcdef")], "SAMARA_HOST_TENANTS"),
            (&[url, ("NATS_USER", "u")], "NATS_PASSWORD"),
        ] {
            let said = refused(variables);
            assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
        }
    }
}
