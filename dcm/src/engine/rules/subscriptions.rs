use crate::api::subscriptions::{
    RemovedSubscription, Subscribe, Subscribed, SubscriptionDelete, Unsubscribe, Unsubscribed,
};
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::model::Subscription;
use crate::storage::{Command, Footprint, State};

fn find<'a>(state: &'a State, agent: &str, topic: &str) -> Option<&'a Subscription> {
    state.subscriptions.iter().find(|one| one.agent_id == agent && one.topic == topic)
}

fn remove(state: &mut State, id: SubscriptionId) -> Result<Unsubscribed> {
    let removed = state.subscriptions.remove(&id).ok_or_else(|| Error::not_found("Subscription"))?;
    let deleted = RemovedSubscription { id, agent_id: removed.agent_id, topic: removed.topic };
    Ok(Unsubscribed { success: true, deleted })
}

impl Command for Subscribe {
    type Outcome = Subscribed;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subscription_pairs.insert((self.agent_id.clone(), self.topic.as_str().to_owned()));
    }

    fn decide(&self, state: &mut State) -> Result<Subscribed> {
        let known = find(state, &self.agent_id, self.topic.as_str()).cloned();
        let subscription = Subscription {
            id: known.as_ref().map_or_else(|| state.ids.next(), |known| known.id),
            agent_id: self.agent_id.clone(),
            topic: self.topic.as_str().to_owned(),
            callback_url: self.callback_url.clone(),
            created_at: known.map_or(state.now, |known| known.created_at),
            updated_at: state.now,
        };
        state.subscriptions.put(subscription.id, subscription.clone());
        Ok(Subscribed { success: true, subscription })
    }
}

impl Command for SubscriptionDelete {
    type Outcome = Unsubscribed;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subscriptions.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<Unsubscribed> {
        remove(state, self.id)
    }
}

impl Command for Unsubscribe {
    type Outcome = Unsubscribed;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subscription_pairs.insert((self.agent_id.clone(), self.topic.clone()));
    }

    fn decide(&self, state: &mut State) -> Result<Unsubscribed> {
        let id = find(state, &self.agent_id, &self.topic).map(|one| one.id);
        remove(state, id.ok_or_else(|| Error::not_found("Subscription"))?)
    }
}
